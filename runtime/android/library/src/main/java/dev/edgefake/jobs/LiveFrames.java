package dev.edgefake.jobs;

import dev.edgefake.core.CancelledException;
import dev.edgefake.core.Frame;
import java.util.function.Supplier;

/**
 * Frames that come by themselves, from a camera: one is kept until it is judged, and those that come meanwhile, or too
 * soon after the last, are left out. Their time never goes back, though their clock may: it stands still for the frame at
 * which it does. Thread-safe.
 */
public final class LiveFrames implements FrameSource {
    private final long intervalNs;
    private TimedFrame kept;
    private boolean taken;
    private long clockNs;
    private long elapsedNs;
    private long lastNs;
    private boolean finished;

    /** @param intervalS least time between two frames that are judged, seconds. */
    public LiveFrames(double intervalS) {
        this.intervalNs = Math.round(intervalS * 1e9);
    }

    /**
     * Offers a frame.
     *
     * @param timestampNs when it was taken, nanoseconds from any start; time since the first frame that was taken is
     *     added up from one frame to the next, so that a clock that is set back does not end the run.
     * @param copy makes the frame, with bytes of its own; called only where the frame is wanted, before this returns.
     * @return whether it is judged; false as well after {@link #finish} and when the job has ended.
     */
    public synchronized boolean offer(long timestampNs, Supplier<Frame> copy) {
        // Time stands still where the clock goes back, or would run over.
        elapsedNs = taken ? Math.max(elapsedNs, elapsedNs + (timestampNs - clockNs)) : 0;
        clockNs = timestampNs;
        if (finished || kept != null || (taken && elapsedNs - lastNs < Math.max(intervalNs, 1))) {
            return false;
        }
        kept = new TimedFrame(copy.get(), elapsedNs / 1e9);
        taken = true;
        lastNs = elapsedNs;
        notifyAll();
        return true;
    }

    /** No more frames: the job judges the one that is kept and hands over its result. */
    public synchronized void finish() {
        finished = true;
        notifyAll();
    }

    @Override
    public synchronized TimedFrame next(Stop stop) {
        try {
            while (true) {
                stop.check();
                if (kept != null) {
                    TimedFrame next = kept;
                    kept = null;
                    return next;
                }
                if (finished) {
                    return null;
                }
                wait();
            }
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new CancelledException("expected frames, got an interrupted thread");
        }
    }

    @Override
    public double share(double timeS) {
        return Double.NaN;
    }

    @Override
    public synchronized void interrupt() {
        notifyAll();
    }

    @Override
    public synchronized void close() {
        finished = true;
        kept = null;
    }
}
