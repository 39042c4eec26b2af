package dev.edgefake.jobs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgefake.core.CancelledException;
import dev.edgefake.core.Frame;
import dev.edgefake.core.InputException;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

class LiveFramesTest {
    private static final Stop GO_ON = () -> {};

    private static Frame frame() {
        return Frame.rgb(new byte[3], 1, 1);
    }

    private static Frame never() {
        throw new AssertionError("copied a frame that is not wanted");
    }

    @Test
    void oneAtATimeAndNotTooSoon() {
        LiveFrames frames = new LiveFrames(1);
        long start = 5_000_000_000L;
        Frame first = frame();
        assertTrue(frames.offer(start, () -> first));
        assertFalse(frames.offer(start + 500_000_000L, LiveFramesTest::never)); // one is waiting
        TimedFrame taken = frames.next(GO_ON);
        assertSame(first, taken.frame);
        assertEquals(0, taken.timeS);
        assertFalse(frames.offer(start + 999_000_000L, LiveFramesTest::never)); // too soon
        assertTrue(frames.offer(start + 1_500_000_000L, LiveFramesTest::frame));
        assertEquals(1.5, frames.next(GO_ON).timeS);
    }

    @Test
    void aClockThatIsSetBackGoesOnFromThere() {
        LiveFrames frames = new LiveFrames(1);
        assertTrue(frames.offer(90_000_000_000L, LiveFramesTest::frame));
        frames.next(GO_ON);
        assertFalse(frames.offer(90_600_000_000L, LiveFramesTest::never));
        assertFalse(frames.offer(3_000_000_000L, LiveFramesTest::never)); // 0.6 s, and time stands still
        assertFalse(frames.offer(3_399_999_999L, LiveFramesTest::never));
        assertTrue(frames.offer(3_400_000_000L, LiveFramesTest::frame));
        assertEquals(1, frames.next(GO_ON).timeS);
        assertTrue(frames.offer(4_400_000_000L, LiveFramesTest::frame));
        assertEquals(2, frames.next(GO_ON).timeS);
    }

    @Test
    void timesThatNoClockHasNeverGoBack() {
        long[][] runs = {
            {Long.MAX_VALUE, Long.MIN_VALUE, 0, Long.MAX_VALUE, -1, Long.MAX_VALUE, Long.MIN_VALUE, 0, 1},
            {Long.MIN_VALUE, Long.MAX_VALUE, 0, 5, 3, 9},
            {0, Long.MAX_VALUE, Long.MIN_VALUE, 0, 1, Long.MAX_VALUE}, // 292 years, and no more
        };
        double[] ends = {3e-9, 11e-9, Long.MAX_VALUE / 1e9};
        for (int i = 0; i < runs.length; i++) {
            LiveFrames frames = new LiveFrames(0);
            double last = -1;
            for (long time : runs[i]) {
                if (frames.offer(time, LiveFramesTest::frame)) {
                    double timeS = frames.next(GO_ON).timeS;
                    assertTrue(timeS > last, timeS + " after " + last);
                    last = timeS;
                }
            }
            assertEquals(ends[i], last, 1e-12);
        }
    }

    @Test
    void noIntervalTakesEveryNewFrame() {
        LiveFrames frames = new LiveFrames(0);
        assertTrue(frames.offer(7, LiveFramesTest::frame));
        frames.next(GO_ON);
        assertFalse(frames.offer(7, LiveFramesTest::never)); // the same once more
        assertTrue(frames.offer(8, LiveFramesTest::frame));
    }

    @Test
    void theLastFrameIsStillJudged() {
        LiveFrames frames = new LiveFrames(1);
        assertTrue(frames.offer(0, LiveFramesTest::frame));
        frames.finish();
        assertFalse(frames.offer(9_000_000_000L, LiveFramesTest::never));
        assertEquals(0, frames.next(GO_ON).timeS);
        assertNull(frames.next(GO_ON));
    }

    @Test
    void aBadFrameTakesNoPlace() {
        LiveFrames frames = new LiveFrames(1);
        assertThrows(InputException.class, () -> frames.offer(0, () -> {
            throw new InputException("expected a frame, got none");
        }));
        assertTrue(frames.offer(1, LiveFramesTest::frame));
    }

    @Test
    void closedTakesNothing() {
        LiveFrames frames = new LiveFrames(0);
        frames.offer(0, LiveFramesTest::frame);
        frames.close();
        assertFalse(frames.offer(1, LiveFramesTest::never));
        assertNull(frames.next(GO_ON));
    }

    @Test
    void waitingIsInterruptedByCancelling() throws InterruptedException {
        LiveFrames frames = new LiveFrames(0);
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        boolean[] stop = {false};
        Thread waiting = new Thread(() -> {
            try {
                frames.next(() -> {
                    synchronized (stop) {
                        if (stop[0]) {
                            throw new CancelledException("cancelled");
                        }
                    }
                });
            } catch (RuntimeException error) {
                thrown.set(error);
            }
        });
        waiting.start();
        while (waiting.getState() != Thread.State.WAITING) {
            Thread.sleep(1);
        }
        synchronized (stop) {
            stop[0] = true;
        }
        frames.interrupt();
        waiting.join(10_000);
        assertSame(CancelledException.class, thrown.get().getClass());
    }
}
