package dev.edgefake.jobs;

import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.Result;

/**
 * Hears of a job, one call after the other. The last one is exactly one of {@link #onResult}, {@link #onError} and
 * {@link #onCancelled}; after it the job holds no reference to its listener.
 */
public interface Listener {
    /** A frame was scored. */
    default void onFaces(Progress progress) {}

    /** The job is done. */
    void onResult(Result result);

    /** The job ended without a result; the message is one line, "expected X, got Y; cure". */
    void onError(EdgefakeException error);

    /** The job was cancelled, or its detector closed, before it was done. */
    default void onCancelled() {}
}
