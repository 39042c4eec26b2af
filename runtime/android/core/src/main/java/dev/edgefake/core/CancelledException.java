package dev.edgefake.core;

/** A run that was cancelled, or whose detector was closed, before it ended. No result comes of it. */
public class CancelledException extends EdgefakeException {
    private static final long serialVersionUID = 1L;

    /** @param message one line that says what ended the run. */
    public CancelledException(String message) {
        super(message, null);
    }
}
