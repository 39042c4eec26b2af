package dev.edgefake.jobs;

import dev.edgefake.core.Frame;

/** A single picture. */
public final class OneFrame implements FrameSource {
    private Frame frame;

    /** @param frame with bytes of its own. */
    public OneFrame(Frame frame) {
        this.frame = frame;
    }

    @Override
    public TimedFrame next(Stop stop) {
        TimedFrame next = frame == null ? null : new TimedFrame(frame, 0);
        frame = null;
        return next;
    }

    @Override
    public double share(double timeS) {
        return 1;
    }

    @Override
    public void close() {
        frame = null;
    }
}
