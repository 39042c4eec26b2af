package dev.edgefake.core;

/** A model file or bundle that is damaged, foreign, or made for another version. */
public class ModelFileException extends InputException {
    private static final long serialVersionUID = 1L;

    /** @param message one line: "expected X, got Y; cure". */
    public ModelFileException(String message) {
        super(message);
    }

    /**
     * @param message one line: "expected X, got Y; cure".
     * @param cause what was thrown underneath.
     */
    public ModelFileException(String message, Throwable cause) {
        super(message, cause);
    }
}
