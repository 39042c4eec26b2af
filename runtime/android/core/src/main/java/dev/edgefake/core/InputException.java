package dev.edgefake.core;

/** Input that cannot be judged: of impossible sizes, shorter than it says, or too large for the memory. */
public class InputException extends EdgefakeException {
    private static final long serialVersionUID = 1L;

    /** @param message one line: "expected X, got Y; cure". */
    public InputException(String message) {
        super(message, null);
    }

    /**
     * @param message one line: "expected X, got Y; cure".
     * @param cause what was thrown underneath.
     */
    public InputException(String message, Throwable cause) {
        super(message, cause);
    }
}
