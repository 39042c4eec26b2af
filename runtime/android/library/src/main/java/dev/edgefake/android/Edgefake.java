package dev.edgefake.android;

import android.content.Context;
import android.content.res.AssetManager;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Process;
import dev.edgefake.core.Bundle;
import dev.edgefake.core.CancelledException;
import dev.edgefake.core.Detector;
import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.Frame;
import dev.edgefake.core.UsageException;
import dev.edgefake.jobs.FrameSource;
import dev.edgefake.jobs.Job;
import dev.edgefake.jobs.JobQueue;
import dev.edgefake.jobs.Listener;
import dev.edgefake.jobs.LiveFrames;
import dev.edgefake.jobs.ModelInfo;
import dev.edgefake.jobs.ModelListener;
import dev.edgefake.jobs.OneFrame;
import java.util.concurrent.Executor;

/**
 * Judges videos, pictures and camera frames on the device. What an app opens once, and closes.
 *
 * <pre>{@code
 * Edgefake edgefake = Edgefake.open(context);
 * Job job = edgefake.video(uri, new Listener() {
 *     public void onResult(Result result) { show(result.verdict, result.score, result.faces); }
 *     public void onError(EdgefakeException error) { show(error.getMessage()); }
 * });
 * edgefake.close();   // in onDestroy
 * }</pre>
 *
 * <p>Thread-safe, and no call waits. Jobs run one after the other in a background thread; listeners are called there,
 * off the main thread, or by the executor that was given. Bad input and a damaged bundle end a job with
 * {@link Listener#onError}; nothing is thrown but where the call itself is wrong. Holds the application's context
 * alone.
 */
public final class Edgefake implements AutoCloseable {
    /** Folder of the assets that {@link #open(Context)} reads. */
    public static final String FOLDER = "edgefake";

    private static final int THREADS = 2;

    private final Context context;
    private final JobQueue jobs;

    private Edgefake(Context context, JobQueue jobs) {
        this.context = context;
        this.jobs = jobs;
    }

    /** Takes the bundle in the assets' folder "edgefake"; listeners are called in the background thread. */
    public static Edgefake open(Context context) {
        return open(context, FOLDER, THREADS, Runnable::run);
    }

    /**
     * Takes a bundle of the assets. It is read in the background before the first job.
     *
     * @param context any; its application's is kept.
     * @param folder of the assets, as {@code edgefake export --bundle android} filled it.
     * @param threads of one operator of a network, 1 or more: the big cores, not all.
     * @param callbacks where listeners are called, such as {@code context.getMainExecutor()} (Android 9); one that
     *     keeps the order, or they hear things in another.
     * @throws UsageException no threads.
     */
    public static Edgefake open(Context context, String folder, int threads, Executor callbacks) {
        AssetManager assets = context.getApplicationContext().getAssets();
        return open(context, name -> assets.open(folder + "/" + name), threads, callbacks);
    }

    /** Takes a bundle from wherever its files are, such as a folder that the app downloaded; as the others do. */
    public static Edgefake open(Context context, Bundle.Files files, int threads, Executor callbacks) {
        if (threads < 1) {
            throw new UsageException("threads: expected 1 or more, got " + threads);
        }
        JobQueue.Opener opener = () -> {
            Bundle bundle = Bundle.read(files);
            ModelInfo model = ModelInfo.of(bundle, files); // where it fails, no network is open yet
            return new JobQueue.Opened(Detector.open(bundle, LiteRtInterpreter.factory(threads)), model);
        };
        return new Edgefake(context.getApplicationContext(), new JobQueue(opener, Edgefake::thread, callbacks));
    }

    private static Thread thread(Runnable work) {
        Runnable behind = () -> {
            Process.setThreadPriority(Process.THREAD_PRIORITY_LESS_FAVORABLE);
            work.run();
        };
        return new Thread(behind, "edgefake");
    }

    /**
     * Judges a video file.
     *
     * @param uri content: (as pickers give it), file: or android.resource:.
     * @throws CancelledException this is closed.
     */
    public Job video(Uri uri, Listener listener) {
        return jobs.submit(settings -> VideoFile.open(context, uri, settings), listener);
    }

    /**
     * Judges a picture. It is copied before this returns, and may be recycled then.
     *
     * @param bitmap of any configuration; one that was recycled ends the job with an error.
     * @param degrees by how much it is to be turned clockwise, as its EXIF data say: 0, 90, 180, 270.
     * @throws CancelledException this is closed.
     */
    public Job picture(Bitmap bitmap, int degrees, Listener listener) {
        FrameSource.Opener source;
        try {
            Frame frame = Bitmaps.copy(bitmap).rotated(degrees);
            source = settings -> new OneFrame(frame);
        } catch (EdgefakeException error) {
            source = settings -> {
                throw error;
            };
        }
        return jobs.submit(source, listener);
    }

    /**
     * Judges frames of a camera until {@link CameraRun#finish}. Jobs that are handed in meanwhile wait for it.
     *
     * @param intervalS least time between two frames that are scored, seconds; 1 for what the model was fitted on.
     * @throws CancelledException this is closed.
     */
    public CameraRun camera(double intervalS, Listener listener) {
        if (!(intervalS >= 0 && intervalS <= 3600)) {
            throw new UsageException("interval: expected 0 to 3600 seconds, got " + intervalS);
        }
        LiveFrames frames = new LiveFrames(intervalS);
        return new CameraRun(frames, jobs.submit(settings -> frames, listener));
    }

    /**
     * Tells of the model: name, bits, thresholds, card with its limits. Opens the bundle, so that the first job need
     * not.
     *
     * @throws CancelledException this is closed.
     */
    public Job model(ModelListener listener) {
        return jobs.model(listener);
    }

    /**
     * Cancels every job, frees the networks as soon as the one that runs has left them, and lets the thread end. Does
     * not wait; a second call does nothing.
     */
    @Override
    public void close() {
        jobs.close();
    }
}
