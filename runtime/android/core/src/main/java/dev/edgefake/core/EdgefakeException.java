package dev.edgefake.core;

/**
 * Base of everything that this package throws on purpose. Messages are one line: "expected X, got Y; cure".
 *
 * <pre>
 * EdgefakeException
 * ├── UsageException       arguments that contradict each other or are out of range
 * ├── InputException       a frame that cannot be judged
 * │   └── ModelFileException   a model file or bundle that is damaged, foreign or of another version
 * └── CancelledException   the run was cancelled, or its detector closed, before it ended
 * </pre>
 */
public abstract class EdgefakeException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    EdgefakeException(String message, Throwable cause) {
        super(message, cause);
    }
}
