package dev.edgefake.core;

/** Arguments that contradict each other or are out of range. */
public class UsageException extends EdgefakeException {
    private static final long serialVersionUID = 1L;

    /** @param message one line: "expected X, got Y; cure". */
    public UsageException(String message) {
        super(message, null);
    }
}
