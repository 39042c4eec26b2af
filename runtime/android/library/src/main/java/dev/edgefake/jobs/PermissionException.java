package dev.edgefake.jobs;

import dev.edgefake.core.InputException;

/** A file that this app may not read. */
public class PermissionException extends InputException {
    private static final long serialVersionUID = 1L;

    /**
     * @param message one line: "expected X, got Y; cure".
     * @param cause what the system threw.
     */
    public PermissionException(String message, Throwable cause) {
        super(message, cause);
    }
}
