package dev.edgefake.jobs;

import dev.edgefake.core.InputException;
import dev.edgefake.core.VideoSettings;
import java.io.IOException;

/** Where the frames of a job come from. Used by the worker's thread alone, except for {@link #interrupt}. */
public interface FrameSource extends AutoCloseable {
    /**
     * The next frame to be scored.
     *
     * @param stop to be asked between steps.
     * @return null after the last one.
     * @throws InputException it cannot be read.
     * @throws IOException the same; the job's listener gets it as an {@link InputException}.
     */
    TimedFrame next(Stop stop) throws IOException;

    /** Share of the whole that lies before a time, 0 to 1; NaN where the end is not known. */
    double share(double timeS);

    /** Wakes a call of {@link #next} that waits; from any thread, when the job is cancelled. */
    default void interrupt() {}

    /** Frees what it holds. Called once. */
    @Override
    void close();

    /** Opens a source when its job's turn comes, in the worker's thread. */
    interface Opener {
        /**
         * @param video which frames are to be scored.
         * @throws InputException it cannot be read.
         * @throws IOException the same.
         */
        FrameSource open(VideoSettings video) throws IOException;
    }
}
