package dev.edgefake.jobs;

import dev.edgefake.core.CancelledException;
import dev.edgefake.core.Detector;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Work that was handed in and goes on elsewhere. Thread-safe. */
public final class Job implements Stop {
    /** How far a job is. */
    public enum State {
        /** Others come before it. */
        WAITING,
        /** It goes on. */
        RUNNING,
        /** Its result was handed over. */
        DONE,
        /** It ended with an error. */
        FAILED,
        /** It was cancelled, or its detector closed. */
        CANCELLED
    }

    private final CountDownLatch ended = new CountDownLatch(1);
    private State state = State.WAITING;
    private boolean cancelled;
    private Detector.Run run;
    private FrameSource source;

    Job() {}

    /**
     * Ends the job from any thread, without waiting: it stops at its next step and its listener then hears
     * {@link Listener#onCancelled}. No other call to the listener begins after this one returns, but one that goes on
     * in another thread is not waited for. Does nothing to a job that has ended.
     */
    public void cancel() {
        FrameSource waiting;
        synchronized (this) {
            if (isOver()) {
                return;
            }
            cancelled = true;
            waiting = source;
            if (run != null) {
                run.cancel();
            }
        }
        if (waiting != null) {
            waiting.interrupt();
        }
    }

    /** How far it is. */
    public synchronized State state() {
        return state;
    }

    /**
     * Waits until the listener has heard the last.
     *
     * @return whether it has, within that time.
     * @throws InterruptedException the waiting thread was interrupted.
     */
    public boolean await(long time, TimeUnit unit) throws InterruptedException {
        return ended.await(time, unit);
    }

    /** @throws CancelledException the job was cancelled. */
    @Override
    public synchronized void check() {
        if (cancelled) {
            throw new CancelledException("expected a job that goes on, got one that was cancelled; start another");
        }
    }

    synchronized boolean isCancelled() {
        return cancelled;
    }

    synchronized void start() {
        check();
        state = State.RUNNING;
    }

    /** What cancelling has to reach from here on; null for nothing. */
    synchronized void attach(Detector.Run begun, FrameSource opened) {
        run = begun;
        source = opened;
        check();
    }

    synchronized void detach() {
        run = null;
        source = null;
    }

    /** Takes the wanted end, or CANCELLED where that was asked for before, unless it has one; whether it is the wanted one. */
    synchronized boolean end(State wanted) {
        if (!ended()) {
            state = cancelled ? State.CANCELLED : wanted;
        }
        return state == wanted;
    }

    /** The listener has heard the last. */
    void heard() {
        ended.countDown();
    }

    /** Whether nothing comes of it any more, or all has come. */
    public synchronized boolean isOver() {
        return cancelled || ended();
    }

    private boolean ended() {
        return state == State.DONE || state == State.FAILED || state == State.CANCELLED;
    }
}
