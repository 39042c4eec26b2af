package dev.edgefake.jobs;

import dev.edgefake.core.Frame;

/** A frame with its time. */
public final class TimedFrame {
    /** Its bytes stay as they are until the next one is asked for. */
    public final Frame frame;

    /** Seconds from the start, never less than that of the frame before. */
    public final double timeS;

    /**
     * @param frame see {@link #frame}.
     * @param timeS see {@link #timeS}.
     */
    public TimedFrame(Frame frame, double timeS) {
        this.frame = frame;
        this.timeS = timeS;
    }
}
