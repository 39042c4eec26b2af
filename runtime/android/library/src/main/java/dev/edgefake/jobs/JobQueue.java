package dev.edgefake.jobs;

import dev.edgefake.core.CancelledException;
import dev.edgefake.core.Detector;
import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.FaceFrame;
import dev.edgefake.core.Result;
import dev.edgefake.core.VideoSettings;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;

/**
 * Runs jobs one after the other in a thread of its own, which ends when it has been idle for a while. The detector is
 * opened there before the first job; where that fails the job hears of it, and the next one tries again. An error that
 * is a fault of the program ends its job, whose listener hears of it, and goes up to the thread's handler; the next job
 * runs in another thread. Thread-safe.
 */
public final class JobQueue implements AutoCloseable {
    private static final int IDLE_SECONDS = 10;

    private final Opener opener;
    private final Executor callbacks;
    private final ThreadPoolExecutor worker;
    private final Set<Job> jobs = new LinkedHashSet<>();
    private boolean closed;
    private Opened opened;

    /** Opens the detector. */
    public interface Opener {
        /**
         * Called in the worker's thread.
         *
         * @throws EdgefakeException it cannot be opened.
         */
        Opened open();
    }

    /** A detector, and what its bundle says of the model. */
    public static final class Opened {
        final Detector detector;
        final ModelInfo model;

        /**
         * @param detector the queue closes it.
         * @param model what {@link JobQueue#model} hands out.
         */
        public Opened(Detector detector, ModelInfo model) {
            this.detector = detector;
            this.model = model;
        }
    }

    /** A job's work; returns the call that hands over its result. */
    private interface Work {
        Runnable run(Opened opened) throws Exception;
    }

    /** Something that a listener threw; no fault of the job, so it goes up to the thread. */
    private static final class ListenerFailure extends Error {
        private static final long serialVersionUID = 1L;

        ListenerFailure(Throwable cause) {
            super("a listener failed: " + cause, cause);
        }
    }

    /**
     * @param opener opens the detector.
     * @param threads makes the worker's thread.
     * @param callbacks where listeners are called, in the order that is handed to it; {@code Runnable::run} for the
     *     worker's own thread.
     */
    public JobQueue(Opener opener, ThreadFactory threads, Executor callbacks) {
        this.opener = opener;
        this.callbacks = callbacks;
        this.worker =
                new ThreadPoolExecutor(1, 1, IDLE_SECONDS, TimeUnit.SECONDS, new LinkedBlockingQueue<>(), threads);
        this.worker.allowCoreThreadTimeOut(true);
    }

    /**
     * Judges frames.
     *
     * @param source opened when the job's turn comes, and closed before its listener hears the last.
     * @throws CancelledException the queue is closed.
     */
    public Job submit(FrameSource.Opener source, Listener listener) {
        Job job = new Job();
        Work work = now -> {
            Result result = judge(job, now.detector, source, listener);
            return () -> listener.onResult(result);
        };
        enqueue(job, work, listener::onError, listener::onCancelled);
        return job;
    }

    /**
     * Opens the detector where that has not been done, and tells of its model.
     *
     * @throws CancelledException the queue is closed.
     */
    public Job model(ModelListener listener) {
        Job job = new Job();
        enqueue(job, now -> () -> listener.onModel(now.model), listener::onError, () -> {});
        return job;
    }

    /**
     * Cancels every job and frees the detector when the one that goes on has stopped; does not wait. A second call does
     * nothing.
     */
    @Override
    public void close() {
        List<Job> left;
        Opened ours;
        synchronized (this) {
            if (closed) {
                return;
            }
            closed = true;
            left = new ArrayList<>(jobs);
            ours = opened;
            opened = null;
        }
        for (Job job : left) {
            job.cancel();
        }
        worker.shutdown(); // what waits still gets its turn, to hear that it was cancelled
        if (ours != null) {
            ours.detector.close();
        }
    }

    private void enqueue(Job job, Work work, Consumer<EdgefakeException> onError, Runnable onCancelled) {
        synchronized (this) {
            if (closed) {
                throw new CancelledException("expected an open detector, got one that was closed; open another");
            }
            jobs.add(job);
            worker.execute(() -> run(job, work, onError, onCancelled));
        }
    }

    private void run(Job job, Work work, Consumer<EdgefakeException> onError, Runnable onCancelled) {
        boolean told = false;
        try {
            Runnable last;
            Job.State end = Job.State.DONE;
            Error fault = null;
            try {
                job.start();
                last = work.run(detector());
            } catch (CancelledException error) {
                job.cancel();
                last = onCancelled;
            } catch (ListenerFailure error) {
                throw error;
            } catch (Throwable error) { // whatever it is, the listener hears of it
                end = Job.State.FAILED;
                last = () -> onError.accept(Failures.of(error));
                fault = Failures.isFault(error) ? (Error) error : null;
            }
            forget(job);
            tellLast(job, end, last, onCancelled);
            told = true;
            if (fault != null) {
                throw fault;
            }
        } finally {
            if (!told) { // a listener failed
                forget(job);
                job.end(Job.State.FAILED);
                job.heard();
            }
        }
    }

    private synchronized void forget(Job job) {
        jobs.remove(job);
    }

    private void tellLast(Job job, Job.State end, Runnable last, Runnable onCancelled) {
        boolean told = tell(() -> {
            try {
                (job.end(end) ? last : onCancelled).run();
            } finally {
                job.heard();
            }
        });
        if (!told) {
            job.end(Job.State.CANCELLED);
            job.heard();
        }
    }

    /** Calls a listener where it wants to be called; false where nobody is there to hear it. */
    private boolean tell(Runnable call) {
        AtomicBoolean begun = new AtomicBoolean();
        try {
            callbacks.execute(() -> {
                begun.set(true);
                call.run();
            });
            return true;
        } catch (RejectedExecutionException error) {
            if (begun.get()) { // by the listener's own executor
                throw new ListenerFailure(error);
            }
            return false;
        } catch (RuntimeException | Error error) { // in the worker's own thread
            throw new ListenerFailure(error);
        }
    }

    private Opened detector() {
        Opened ours;
        synchronized (this) {
            ours = opened;
        }
        if (ours == null) {
            try {
                ours = opener.open();
            } catch (OutOfMemoryError error) {
                throw Failures.ofBundle(error);
            }
            synchronized (this) {
                if (!closed) {
                    opened = ours;
                    return ours;
                }
            }
            ours.detector.close();
            throw new CancelledException("expected an open detector, got one that was closed; open another");
        }
        return ours;
    }

    private Result judge(Job job, Detector detector, FrameSource.Opener opener, Listener listener) throws Exception {
        VideoSettings video = detector.video();
        Detector.Run run = detector.begin();
        try (FrameSource source = opener.open(video)) {
            job.attach(run, source);
            for (TimedFrame frame = source.next(job); frame != null; frame = source.next(job)) {
                List<FaceFrame> faces = run.add(frame.frame, frame.timeS);
                Progress progress = new Progress(frame, source.share(frame.timeS), faces);
                boolean told = tell(() -> {
                    if (!job.isCancelled()) {
                        listener.onFaces(progress);
                    }
                });
                if (!told) {
                    job.cancel();
                }
            }
        } finally {
            job.detach();
        }
        return run.finish();
    }
}
