package dev.edgefake.android;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import android.media.Image;
import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.InputException;
import dev.edgefake.core.Result;
import dev.edgefake.jobs.BlindNetwork;
import dev.edgefake.jobs.Job;
import dev.edgefake.jobs.JobQueue;
import dev.edgefake.jobs.Listener;
import dev.edgefake.jobs.LiveFrames;
import dev.edgefake.jobs.Progress;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A camera's frames on their way to one verdict, as {@code Edgefake.camera} starts it, with networks that see nothing. */
@Timeout(60)
class CameraRunTest {
    private static final int YUV = ImagesTest.YUV_420_888;
    private static final long SECOND = 1_000_000_000L;

    private final List<String> heard = Collections.synchronizedList(new ArrayList<>());
    private final JobQueue queue =
            new JobQueue(() -> BlindNetwork.opened(() -> {}, new AtomicInteger()), Thread::new, Runnable::run);

    private CameraRun begin() {
        LiveFrames frames = new LiveFrames(1);
        return new CameraRun(frames, queue.submit(settings -> frames, new Listener() {
            @Override
            public void onFaces(Progress progress) {
                heard.add(String.format("%.1f s %dx%d", progress.timeS, progress.width, progress.height));
            }

            @Override
            public void onResult(Result result) {
                heard.add(result.framesScored + " frames");
            }

            @Override
            public void onError(EdgefakeException error) {
                heard.add(error.getMessage());
            }

            @Override
            public void onCancelled() {
                heard.add("cancelled");
            }
        }));
    }

    @AfterEach
    void close() {
        queue.close();
    }

    /** The frame before it may still be in its place. */
    private static void taken(BooleanSupplier offer) throws InterruptedException {
        for (int i = 0; i < 3000; i++) {
            if (offer.getAsBoolean()) {
                return;
            }
            Thread.sleep(10);
        }
        throw new AssertionError("not taken");
    }

    private void end(CameraRun run, Job.State state, String... calls) throws InterruptedException {
        assertTrue(run.job.await(30, TimeUnit.SECONDS));
        assertEquals(state, run.job.state());
        assertEquals(Arrays.asList(calls), heard);
    }

    @Test
    void framesThatAreRefusedLeaveTheRunAsItWas() throws InterruptedException {
        CameraRun run = begin();
        Image closed = ImagesTest.image(YUV, 0);
        ImagesTest.Proxy proxy = new ImagesTest.Proxy(closed, 0);
        closed.close();
        assertThrows(InputException.class, () -> run.offer(closed, 0, false));
        assertThrows(InputException.class, () -> CameraXImages.offer(run, proxy));
        assertThrows(InputException.class, () -> run.offer(ImagesTest.image(0x100, 0), 0, false)); // JPEG
        assertThrows(InputException.class, () -> run.offer(ImagesTest.image(YUV, 0), 45, false));
        taken(() -> run.offer(ImagesTest.image(YUV, 7 * SECOND), 90, true));
        Image soon = ImagesTest.image(YUV, 8 * SECOND - 1);
        assertFalse(run.offer(soon, 0, false));
        assertFalse(soon.isClosed(), "it is the app's");
        assertThrows(InputException.class, () -> {
            for (int i = 0; i < 3000; i++) { // until the first has left its place
                run.offer(ImagesTest.image(0x100, 8 * SECOND), 0, false);
                Thread.sleep(10);
            }
        });
        taken(() -> CameraXImages.offer(run, new ImagesTest.Proxy(ImagesTest.image(YUV, 9 * SECOND), 180)));
        run.finish();
        end(run, Job.State.DONE, "0.0 s 4x4", "2.0 s 4x4", "2 frames");
        assertFalse(run.offer(ImagesTest.image(YUV, 20 * SECOND), 0, false));
    }

    @Test
    void aClockThatGoesBackDoesNotEndTheRun() throws InterruptedException {
        CameraRun run = begin();
        taken(() -> run.offer(ImagesTest.image(YUV, 500 * SECOND), 0, false));
        assertFalse(run.offer(ImagesTest.image(YUV, 3 * SECOND), 0, false)); // time stands still
        taken(() -> run.offer(ImagesTest.image(YUV, 4 * SECOND), 0, false));
        run.finish();
        end(run, Job.State.DONE, "0.0 s 4x4", "1.0 s 4x4", "2 frames");
    }

    @Test
    void nothingIsCopiedForAJobThatIsOver() throws InterruptedException {
        CameraRun run = begin();
        run.job.cancel();
        assertFalse(run.offer(0, () -> {
            throw new AssertionError("copied");
        }));
        end(run, Job.State.CANCELLED, "cancelled");
    }
}
