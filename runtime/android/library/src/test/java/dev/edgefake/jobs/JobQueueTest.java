package dev.edgefake.jobs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgefake.core.CancelledException;
import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.Frame;
import dev.edgefake.core.InputException;
import dev.edgefake.core.ModelFileException;
import dev.edgefake.core.Result;
import dev.edgefake.core.Verdict;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * Jobs and their ends. The one network that is asked here finds nothing, so that every moment can be held;
 * {@code LiteRtInterpreterTest} runs the real ones through the same queue.
 */
@Timeout(60)
class JobQueueTest {
    private final AtomicInteger openNetworks = new AtomicInteger();
    private final AtomicInteger openSources = new AtomicInteger();
    private final AtomicReference<Runnable> inNetwork = new AtomicReference<>(() -> {});
    private final AtomicReference<Thread> worker = new AtomicReference<>();
    private final AtomicReference<Throwable> uncaught = new AtomicReference<>();
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private JobQueue queue = queue(Runnable::run);

    private JobQueue queue(Executor callbacks) {
        return new JobQueue(this::open, this::thread, callbacks);
    }

    private Thread thread(Runnable work) {
        Thread thread = new Thread(work, "worker");
        worker.set(thread);
        thread.setUncaughtExceptionHandler((where, error) -> uncaught.set(error));
        return thread;
    }

    @AfterEach
    void close() {
        queue.close();
    }

    private JobQueue.Opened open() {
        Throwable error = failure.getAndSet(null);
        if (error != null) {
            JobQueueTest.<RuntimeException>toss(error);
        }
        return BlindNetwork.opened(() -> inNetwork.get().run(), openNetworks);
    }

    /** So many frames; what is done before each is the test's. */
    private FrameSource.Opener frames(int count, Consumer<Integer> before) {
        return video -> {
            openSources.incrementAndGet();
            return new FrameSource() {
                private int given;

                @Override
                public TimedFrame next(Stop stop) {
                    before.accept(given);
                    return given == count ? null : new TimedFrame(Frame.rgb(new byte[3 * 48 * 48], 48, 48), given++);
                }

                @Override
                public double share(double timeS) {
                    return timeS / count;
                }

                @Override
                public void close() {
                    openSources.decrementAndGet();
                }
            };
        };
    }

    private static class Heard implements Listener {
        final List<String> calls = Collections.synchronizedList(new ArrayList<>());
        final List<Thread> threads = Collections.synchronizedList(new ArrayList<>());
        volatile EdgefakeException error;
        volatile Result result;

        private void call(String name) {
            calls.add(name);
            threads.add(Thread.currentThread());
        }

        @Override
        public void onFaces(Progress progress) {
            call(String.format("%.0f/%.2f/%dx%d", progress.timeS, progress.share, progress.width, progress.height));
        }

        @Override
        public void onResult(Result found) {
            result = found;
            call("result");
        }

        @Override
        public void onError(EdgefakeException found) {
            error = found;
            call("error");
        }

        @Override
        public void onCancelled() {
            call("cancelled");
        }
    }

    private static void end(Job job, Job.State state) throws InterruptedException {
        assertTrue(job.await(30, TimeUnit.SECONDS), "it does not end");
        assertEquals(state, job.state());
        assertTrue(job.isOver());
    }

    private static void await(CountDownLatch latch) {
        try {
            assertTrue(latch.await(30, TimeUnit.SECONDS));
        } catch (InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    /** Networks are freed a moment after the last call. */
    private void freed() throws InterruptedException {
        for (int i = 0; i < 3000 && openNetworks.get() > 0; i++) {
            Thread.sleep(10);
        }
        assertEquals(0, openNetworks.get(), "networks are left open");
        assertEquals(0, openSources.get(), "sources are left open");
    }

    @Test
    void framesThenTheResultOffTheCallersThread() throws InterruptedException {
        Heard heard = new Heard();
        Job job = queue.submit(frames(2, i -> {}), heard);
        end(job, Job.State.DONE);
        assertEquals(Arrays.asList("0/0.00/48x48", "1/0.50/48x48", "result"), heard.calls);
        assertSame(Verdict.NO_FACE, heard.result.verdict);
        assertEquals(2, heard.result.framesScored);
        assertNull(heard.result.score);
        for (Thread thread : heard.threads) {
            assertNotSame(Thread.currentThread(), thread);
        }
        assertEquals(4, openNetworks.get()); // kept for the next job
        job.cancel();
        end(job, Job.State.DONE);
        queue.close();
        freed();
    }

    @Test
    void oneAfterTheOther() throws InterruptedException {
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger most = new AtomicInteger();
        inNetwork.set(() -> {
            most.accumulateAndGet(inside.incrementAndGet(), Math::max);
            inside.decrementAndGet();
        });
        List<Job> jobs = new ArrayList<>();
        List<Heard> heard = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            heard.add(new Heard());
            jobs.add(queue.submit(frames(3, n -> {}), heard.get(i)));
        }
        for (int i = 0; i < 5; i++) {
            end(jobs.get(i), Job.State.DONE);
            assertEquals(4, heard.get(i).calls.size());
        }
        assertEquals(1, most.get());
        assertEquals(4, openNetworks.get());
    }

    @Test
    void cancelledInTheMiddle() throws InterruptedException {
        Heard heard = new Heard();
        AtomicReference<Job> job = new AtomicReference<>();
        CountDownLatch submitted = new CountDownLatch(1);
        job.set(queue.submit(
                frames(1000, i -> {
                    await(submitted);
                    if (i == 2) {
                        job.get().cancel();
                    }
                }),
                heard));
        submitted.countDown();
        end(job.get(), Job.State.CANCELLED);
        assertEquals(Arrays.asList("0/0.00/48x48", "1/0.00/48x48", "cancelled"), heard.calls);
        assertEquals(0, openSources.get());
        end(queue.submit(frames(1, i -> {}), new Heard()), Job.State.DONE); // the next one is not touched
    }

    @Test
    void cancelledWhileANetworkRuns() throws InterruptedException {
        CountDownLatch running = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        inNetwork.set(() -> {
            running.countDown();
            await(goOn);
        });
        Heard heard = new Heard();
        Job job = queue.submit(frames(5, i -> {}), heard);
        await(running);
        job.cancel(); // does not wait
        assertTrue(job.isOver());
        goOn.countDown();
        end(job, Job.State.CANCELLED);
        assertEquals(Collections.singletonList("cancelled"), heard.calls);
    }

    @Test
    void cancelledBeforeItsTurn() throws InterruptedException {
        CountDownLatch goOn = new CountDownLatch(1);
        Job first = queue.submit(frames(1, i -> await(goOn)), new Heard());
        Heard heard = new Heard();
        Job second = queue.submit(
                video -> {
                    throw new AssertionError("opened the source of a job that was cancelled");
                },
                heard);
        second.cancel();
        second.cancel();
        goOn.countDown();
        end(first, Job.State.DONE);
        end(second, Job.State.CANCELLED);
        assertEquals(Collections.singletonList("cancelled"), heard.calls);
    }

    @Test
    void cancelledWhileASourceWaits() throws InterruptedException {
        LiveFrames live = new LiveFrames(0);
        Heard heard = new Heard();
        CountDownLatch opened = new CountDownLatch(1);
        Job job = queue.submit(
                video -> {
                    opened.countDown();
                    return live;
                },
                heard);
        await(opened);
        while (worker.get().getState() != Thread.State.WAITING) {
            Thread.sleep(1);
        }
        job.cancel();
        end(job, Job.State.CANCELLED);
        assertEquals(Collections.singletonList("cancelled"), heard.calls);
        assertTrue(!live.offer(0, () -> {
            throw new AssertionError("copied a frame for a job that is over");
        }));
    }

    @Test
    void liveFramesUntilTheyEnd() throws InterruptedException {
        LiveFrames live = new LiveFrames(0);
        Heard heard = new Heard();
        Job job = queue.submit(video -> live, heard);
        for (int i = 0, taken = 0; taken < 3; i++) {
            if (live.offer(i, () -> Frame.rgb(new byte[3 * 48 * 48], 48, 48))) {
                taken++;
            }
        }
        live.finish();
        end(job, Job.State.DONE);
        assertEquals(3, heard.result.framesScored);
        assertTrue(heard.calls.get(0).contains("NaN"), heard.calls.get(0));
    }

    @Test
    void aCameraClockThatGoesBackDoesNotEndTheRun() throws InterruptedException {
        LiveFrames live = new LiveFrames(1);
        Heard heard = new Heard();
        Job job = queue.submit(video -> live, heard);
        for (long timeS : new long[] {50, 51, 2, 3, 4}) {
            offer(live, timeS * 1_000_000_000L, timeS == 2);
        }
        live.finish();
        end(job, Job.State.DONE);
        assertEquals(
                Arrays.asList("0/NaN/48x48", "1/NaN/48x48", "2/NaN/48x48", "3/NaN/48x48", "result"), heard.calls);
    }

    /** Until the frame before has left its place; one at which the clock goes back is left out. */
    private static void offer(LiveFrames live, long timestampNs, boolean leftOut) throws InterruptedException {
        for (int i = 0; i < 3000; i++) {
            if (live.offer(timestampNs, () -> Frame.rgb(new byte[3 * 48 * 48], 48, 48)) || leftOut) {
                return;
            }
            Thread.sleep(10);
        }
        throw new AssertionError("not taken");
    }

    @Test
    void nothingIsHeardAfterCancelThoughItWaitsToBeTold() throws InterruptedException {
        ConcurrentLinkedQueue<Runnable> mainThread = new ConcurrentLinkedQueue<>();
        JobQueue own = queue(mainThread::add);
        Heard heard = new Heard();
        Job job = own.submit(frames(2, i -> {}), heard);
        while (mainThread.size() < 3) {
            Thread.sleep(1);
        }
        mainThread.poll().run();
        job.cancel();
        while (!mainThread.isEmpty()) {
            mainThread.poll().run();
        }
        end(job, Job.State.CANCELLED);
        assertEquals(Arrays.asList("0/0.00/48x48", "cancelled"), heard.calls);
        assertSame(Thread.currentThread(), heard.threads.get(1));
        own.close();
        freed();
    }

    @Test
    void closedInTheMiddleOfARun() throws InterruptedException {
        CountDownLatch running = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        inNetwork.set(() -> {
            running.countDown();
            await(goOn);
        });
        Heard first = new Heard();
        Heard second = new Heard();
        Job one = queue.submit(frames(9, i -> {}), first);
        Job two = queue.submit(frames(9, i -> {}), second);
        await(running);
        queue.close(); // does not wait
        queue.close();
        assertEquals(4, openNetworks.get()); // not freed underneath the network that runs
        goOn.countDown();
        end(one, Job.State.CANCELLED);
        end(two, Job.State.CANCELLED);
        assertEquals(Collections.singletonList("cancelled"), first.calls);
        assertEquals(Collections.singletonList("cancelled"), second.calls);
        freed();
        assertThrows(CancelledException.class, () -> queue.submit(frames(1, i -> {}), first));
        assertNull(uncaught.get());
    }

    @Test
    void closedWhileItOpens() throws InterruptedException {
        CountDownLatch opening = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        JobQueue own = new JobQueue(
                () -> {
                    opening.countDown();
                    await(goOn);
                    return open();
                },
                this::thread,
                Runnable::run);
        Heard heard = new Heard();
        Job job = own.submit(frames(1, i -> {}), heard);
        await(opening);
        own.close();
        goOn.countDown();
        end(job, Job.State.CANCELLED);
        assertEquals(Collections.singletonList("cancelled"), heard.calls);
        freed();
    }

    @Test
    void aCorruptBundleFailsTheJobAndTheNextTriesAgain() throws InterruptedException {
        failure.set(new ModelFileException("classifier.tflite: expected 5 bytes, got 4"));
        Heard heard = new Heard();
        end(queue.submit(frames(1, i -> {}), heard), Job.State.FAILED);
        assertEquals(Collections.singletonList("error"), heard.calls);
        assertSame(ModelFileException.class, heard.error.getClass());
        assertEquals(0, openSources.get());
        end(queue.submit(frames(1, i -> {}), new Heard()), Job.State.DONE);
    }

    @Test
    void aBundleThatTheAppCannotRunFailsTheJobAndTheNextTriesAgain() throws InterruptedException {
        for (Error error : new Error[] {new OutOfMemoryError(), new NoClassDefFoundError("org/tensorflow/lite/Tensor")}) {
            failure.set(error);
            Heard heard = new Heard();
            end(queue.submit(frames(1, i -> {}), heard), Job.State.FAILED);
            assertEquals(Collections.singletonList("error"), heard.calls);
            assertSame(ModelFileException.class, heard.error.getClass());
            end(queue.submit(frames(1, i -> {}), new Heard()), Job.State.DONE);
            queue.close();
            queue = queue(Runnable::run);
        }
        assertNull(uncaught.get());
    }

    @Test
    void whatANetworkThrowsEndsTheJobAlone() throws InterruptedException {
        Object[][] cases = {
            {new IllegalStateException("Internal error: Failed to run"), ModelFileException.class},
            {new UnsatisfiedLinkError("run"), ModelFileException.class},
            {new OutOfMemoryError(), InputException.class},
        };
        for (Object[] each : cases) {
            inNetwork.set(() -> JobQueueTest.<RuntimeException>toss((Throwable) each[0]));
            Heard heard = new Heard();
            end(queue.submit(frames(1, i -> {}), heard), Job.State.FAILED);
            assertEquals(Collections.singletonList("error"), heard.calls);
            assertSame(each[1], heard.error.getClass());
            inNetwork.set(() -> {});
            end(queue.submit(frames(1, i -> {}), new Heard()), Job.State.DONE);
        }
        assertNull(uncaught.get());
    }

    @Test
    void aFaultOfTheProgramIsToldAndGoesUp() throws InterruptedException {
        StackOverflowError fault = new StackOverflowError();
        for (int place = 0; place < 3; place++) { // while the bundle opens, in a source, in a network
            Runnable toss = () -> JobQueueTest.<RuntimeException>toss(fault);
            failure.set(place == 0 ? fault : null);
            inNetwork.set(place == 2 ? toss : () -> {});
            uncaught.set(null);
            boolean inSource = place == 1;
            CountDownLatch submitted = new CountDownLatch(1);
            Heard heard = new Heard();
            Heard next = new Heard();
            Job job = queue.submit(
                    frames(1, i -> {
                        await(submitted);
                        if (inSource) {
                            toss.run();
                        }
                    }),
                    heard);
            Job second = queue.submit(frames(1, i -> inNetwork.set(() -> {})), next);
            submitted.countDown();
            end(job, Job.State.FAILED);
            assertEquals(Collections.singletonList("error"), heard.calls);
            assertSame(fault, heard.error.getCause());
            end(second, Job.State.DONE); // which waited meanwhile
            assertEquals(2, next.calls.size());
            assertNotSame(heard.threads.get(0), next.threads.get(0));
            for (int i = 0; i < 1000 && uncaught.get() == null; i++) {
                Thread.sleep(10);
            }
            assertSame(fault, uncaught.get());
            assertEquals(0, openSources.get());
        }
        queue.close();
        freed();
    }

    @Test
    void aFaultAfterCancellingIsNoErrorButGoesUp() throws InterruptedException {
        StackOverflowError fault = new StackOverflowError();
        AtomicReference<Job> job = new AtomicReference<>();
        CountDownLatch submitted = new CountDownLatch(1);
        Heard heard = new Heard();
        job.set(queue.submit(
                frames(1, i -> {
                    await(submitted);
                    job.get().cancel();
                    JobQueueTest.<RuntimeException>toss(fault);
                }),
                heard));
        submitted.countDown();
        end(job.get(), Job.State.CANCELLED);
        assertEquals(Collections.singletonList("cancelled"), heard.calls);
        for (int i = 0; i < 1000 && uncaught.get() == null; i++) {
            Thread.sleep(10);
        }
        assertSame(fault, uncaught.get());
    }

    @Test
    void theModelIsToldOrItsError() throws InterruptedException {
        List<String> calls = Collections.synchronizedList(new ArrayList<>());
        ModelListener listener = new ModelListener() {
            @Override
            public void onModel(ModelInfo model) {
                calls.add("model");
            }

            @Override
            public void onError(EdgefakeException error) {
                calls.add(error.getMessage());
            }
        };
        failure.set(new ModelFileException("no bundle"));
        end(queue.model(listener), Job.State.FAILED);
        end(queue.model(listener), Job.State.DONE);
        assertEquals(Arrays.asList("no bundle", "model"), calls);
    }

    @Test
    void whateverASourceThrowsEndsTheJobAlone() throws InterruptedException {
        Object[][] cases = {
            {new IOException("expected"), InputException.class},
            {new SecurityException("Permission Denial"), PermissionException.class},
            {new IllegalStateException("decoder died"), InputException.class},
            {new InputException("expected a video, got a text"), InputException.class},
            {new OutOfMemoryError("no memory"), InputException.class},
            {new UnsatisfiedLinkError("no library"), ModelFileException.class},
            {new Throwable("neither an Exception nor an Error"), InputException.class},
        };
        for (Object[] each : cases) {
            for (boolean whenOpened : new boolean[] {true, false}) {
                Heard heard = new Heard();
                Job job = queue.submit(
                        video -> {
                            if (whenOpened) {
                                JobQueueTest.<RuntimeException>toss((Throwable) each[0]);
                            }
                            return frames(3, i -> {
                                        if (i == 1) {
                                            JobQueueTest.<RuntimeException>toss((Throwable) each[0]);
                                        }
                                    })
                                    .open(video);
                        },
                        heard);
                end(job, Job.State.FAILED);
                assertEquals("error", heard.calls.get(heard.calls.size() - 1));
                assertSame(each[1], heard.error.getClass());
                assertEquals(whenOpened ? 1 : 2, heard.calls.size());
                assertEquals(0, openSources.get());
            }
        }
        assertNull(uncaught.get());
    }

    @SuppressWarnings("unchecked")
    private static <T extends Throwable> void toss(Throwable error) throws T {
        throw (T) error;
    }

    @Test
    void aListenerThatFailsIsNoFaultOfTheJob() throws InterruptedException {
        Job job = queue.submit(frames(3, i -> {}), new Listener() {
            @Override
            public void onFaces(Progress progress) {
                throw new IllegalStateException("the app's own mistake");
            }

            @Override
            public void onResult(Result result) {
                throw new AssertionError("called after it failed");
            }

            @Override
            public void onError(EdgefakeException error) {
                throw new AssertionError("its own mistake is no input");
            }
        });
        end(job, Job.State.FAILED);
        for (int i = 0; i < 1000 && uncaught.get() == null; i++) {
            Thread.sleep(10);
        }
        assertEquals("the app's own mistake", uncaught.get().getCause().getMessage());
        assertEquals(0, openSources.get());
        end(queue.submit(frames(1, i -> {}), new Heard()), Job.State.DONE); // in another thread
    }

    @Test
    void aListenerWhoseOwnExecutorWasShutDownFails() throws InterruptedException {
        Heard heard = new Heard() {
            @Override
            public void onResult(Result found) {
                throw new RejectedExecutionException("the app's own executor");
            }
        };
        end(queue.submit(frames(1, i -> {}), heard), Job.State.DONE);
        for (int i = 0; i < 1000 && uncaught.get() == null; i++) {
            Thread.sleep(10);
        }
        assertEquals("the app's own executor", uncaught.get().getCause().getMessage());
        assertEquals(1, heard.calls.size(), "told of a frame, then nothing else: " + heard.calls);
    }

    @Test
    void nobodyIsThereToHear() throws InterruptedException {
        JobQueue own = queue(call -> {
            throw new RejectedExecutionException("shut down");
        });
        Heard heard = new Heard();
        end(own.submit(frames(3, i -> {}), heard), Job.State.CANCELLED);
        assertEquals(Collections.emptyList(), heard.calls);
        assertNull(uncaught.get());
        own.close();
        freed();
    }
}
