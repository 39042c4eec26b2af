package dev.edgefake.android;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import android.content.ContentResolver;
import android.content.Context;
import android.content.res.AssetManager;
import android.content.res.Resources;
import android.media.MediaFormat;
import android.media.Recording;
import android.net.Uri;
import android.os.SystemClock;
import dev.edgefake.core.CancelledException;
import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.InputException;
import dev.edgefake.core.Result;
import dev.edgefake.core.VideoSettings;
import dev.edgefake.jobs.BlindNetwork;
import dev.edgefake.jobs.Job;
import dev.edgefake.jobs.JobQueue;
import dev.edgefake.jobs.Listener;
import dev.edgefake.jobs.Progress;
import dev.edgefake.jobs.Stop;
import dev.edgefake.jobs.TimedFrame;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The way through extractor and decoder, whose places are taken by classes that keep Android's rules. */
@Timeout(60)
class VideoFileTest {
    private static final Stop GO_ON = () -> {};
    private static final Uri URI = Uri.parse("content://media/1");
    private static final long FRAME_US = 40_000; // 25 frames a second

    private Recording recording;
    private MediaFormat track;

    @BeforeEach
    void record() {
        recording = new Recording();
        Recording.current = recording;
        SystemClock.now = 0;
        recording.track("audio/mp4a-latm");
        track = recording.track("video/avc");
    }

    @AfterEach
    void everythingIsGivenBack() {
        assertEquals(0, recording.open);
    }

    /** In the order of a file with B-frames: 0 2 1 4 3 6 5 ... */
    private void frames(int count) {
        for (long i = 0; i < count; i++) {
            long number = i == 0 ? 0 : Math.min(i % 2 == 0 ? i - 1 : i + 1, count - 1);
            recording.timesUs.add(number * FRAME_US);
        }
    }

    private static final class Device extends Context {
        @Override
        public Context getApplicationContext() {
            return this;
        }

        @Override
        public AssetManager getAssets() {
            throw new AssertionError();
        }

        @Override
        public ContentResolver getContentResolver() {
            return new ContentResolver();
        }

        @Override
        public File getCacheDir() {
            throw new AssertionError();
        }

        @Override
        public Resources getResources() {
            throw new AssertionError();
        }
    }

    private static VideoFile open(Uri uri) throws IOException {
        return VideoFile.open(new Device(), uri, VideoSettings.standard());
    }

    /** All frames that are to be scored. */
    private static List<TimedFrame> read(VideoFile file) {
        List<TimedFrame> frames = new ArrayList<>();
        for (TimedFrame frame = file.next(GO_ON); frame != null; frame = file.next(GO_ON)) {
            frames.add(frame);
        }
        return frames;
    }

    private static List<TimedFrame> read() throws IOException {
        try (VideoFile file = open(URI)) {
            return read(file);
        }
    }

    private static String refused() throws IOException {
        try (VideoFile file = open(URI)) {
            return message(assertThrows(InputException.class, () -> read(file)));
        }
    }

    private static String refusedAtOnce(Uri uri) {
        return message(assertThrows(InputException.class, () -> open(uri)));
    }

    private static String message(InputException error) {
        assertTrue(error.getMessage().startsWith("expected a video"), error.getMessage());
        assertEquals(-1, error.getMessage().indexOf('\n'), error.getMessage());
        return error.getMessage();
    }

    /** Red, green or blue of a pixel without colour, of values from 16 to 235. */
    private static byte grey(int luma) {
        return (byte) Math.round((luma - 16) * 255 / 219.0);
    }

    private static byte first(TimedFrame frame) {
        return frame.frame.toImage().rgb()[0];
    }

    @Test
    void everyThirtiethFrameInOrderOfTime() throws IOException {
        frames(75);
        track.setLong(MediaFormat.KEY_DURATION, 3_000_000);
        try (VideoFile file = open(URI)) {
            List<TimedFrame> found = read(file);
            assertNull(file.next(GO_ON), "after the end");
            assertEquals(3, found.size());
            // Frames 0, 30 and 60; in the file, 29 and 59 lie in their places.
            for (int i = 0; i < found.size(); i++) {
                assertEquals(30 * i * FRAME_US / 1e6, found.get(i).timeS, 1e-9);
            }
            assertEquals(
                    Arrays.asList(grey(16), grey(16 + 29), grey(16 + 59)),
                    Arrays.asList(first(found.get(0)), first(found.get(1)), first(found.get(2))));
            assertEquals(0.4, file.share(1.2), 1e-9);
            assertEquals(1, file.share(3.04));
        }
        assertEquals(3, recording.images, "the others are not looked at");
        assertEquals(0x7F420888, recording.configured.getInteger(MediaFormat.KEY_COLOR_FORMAT)); // planes, not a surface
    }

    @Test
    void aFileThatDoesNotSayHowLongItIs() throws IOException {
        frames(1);
        try (VideoFile file = open(URI)) {
            assertEquals(1, read(file).size());
            assertTrue(Double.isNaN(file.share(1)));
        }
    }

    @Test
    void turnedAsTheFileAsks() throws IOException {
        frames(1);
        byte[][] rows = {{16, 17, 18, 19, 16, 17, 18, 19}, {16, 16, 17, 17, 18, 18, 19, 19}};
        for (int degrees : new int[] {0, 90}) {
            track.setInteger(MediaFormat.KEY_ROTATION, degrees);
            TimedFrame frame = read().get(0);
            assertEquals(degrees == 0 ? Recording.WIDTH : Recording.HEIGHT, frame.frame.width());
            byte[] expected = new byte[3 * rows[0].length];
            for (int i = 0; i < expected.length; i++) {
                expected[i] = grey(rows[degrees / 90][i / 3]);
            }
            assertArrayEquals(expected, frame.frame.toImage().rgb());
        }
        track.setInteger(MediaFormat.KEY_ROTATION, 45);
        try (VideoFile file = open(URI)) {
            assertThrows(InputException.class, () -> file.next(GO_ON));
        }
    }

    @Test
    void valuesInTheRangeThatTheDecoderReports() throws IOException {
        frames(1);
        recording.colorRange = MediaFormat.COLOR_RANGE_LIMITED;
        assertEquals(0, first(read().get(0)));
        recording.colorRange = MediaFormat.COLOR_RANGE_FULL;
        assertEquals(16, first(read().get(0)));
    }

    @Test
    void theEndMayComeWithTheLastFrame() throws IOException {
        recording.endsWithLastFrame = true;
        frames(31);
        assertEquals(2, read().size());
        recording.timesUs.clear();
        frames(1);
        recording.latency = 0;
        assertEquals(1, read().size());
    }

    @Test
    void timesThatGoBackStandStill() throws IOException {
        recording.latency = 0; // a decoder that gives frames as they come
        for (int i = 0; i < 61; i++) {
            recording.timesUs.add(i < 31 ? i * FRAME_US : 5 * FRAME_US);
        }
        List<Double> times = new ArrayList<>();
        read().forEach(frame -> times.add(frame.timeS));
        assertEquals(Arrays.asList(0.0, 1.2, 1.2), times);
    }

    @Test
    void aDecoderThatGivesNothingIsLeftAfterAWhile() throws IOException {
        frames(75);
        recording.stopsAfter = 40;
        assertTrue(refused().contains("a decoder that stopped after 40 frames; convert it"));
        assertTrue(SystemClock.now > 15_000 && SystemClock.now < 15_100, SystemClock.now + " ms");
        recording.stopsAfter = 0;
        assertTrue(refused().contains("stopped after 0 frames"));
    }

    @Test
    void aDecoderThatIsSlowIsWaitedFor() throws IOException {
        frames(35);
        recording.msPerFrame = 14_000;
        assertEquals(2, read().size());
        assertTrue(SystemClock.now >= 34 * 14_000, SystemClock.now + " ms");
    }

    @Test
    void aDecoderThatFailsInTheMiddle() throws IOException {
        frames(75);
        recording.failsAfter = 33;
        String said = refused();
        assertTrue(said.contains("failed after 33 frames: Error 0xffffec77; convert it"), said);
        recording.failsAfter = 0;
        assertTrue(refused().contains("failed after 0 frames"));
    }

    @Test
    void aFileWithoutFrames() throws IOException {
        assertTrue(refused().contains("with frames, got none"));
    }

    @Test
    void tenBitsAValue() throws IOException {
        frames(3);
        recording.imageFormat = 0; // a decoder that gives no image of its buffers
        assertTrue(refused().contains("something else; convert it to H.264 of 8 bits"));
        recording.imageFormat = 0x36; // YCBCR_P010
        try (VideoFile file = open(URI)) {
            String said = assertThrows(InputException.class, () -> file.next(GO_ON)).getMessage();
            assertTrue(said.startsWith("expected a frame of 8 bits a value, YUV_420_888, got format 54; "), said);
        }
    }

    @Test
    void whatIsNoVideoOfThisDevice() {
        assertTrue(refusedAtOnce(null).contains("got none; "));
        assertTrue(refusedAtOnce(Uri.parse("content://media/nothing")).contains("at content://media/nothing, got nothing"));
        recording.unfit = new IllegalArgumentException("a profile that it lacks");
        assertTrue(refusedAtOnce(URI).contains("got video/avc at content://media/1; convert it"));
        recording.unfit = new IllegalStateException();
        assertTrue(refusedAtOnce(URI).contains("got video/avc"));
        recording.decodes = "video/x-vnd.on2.vp8";
        assertTrue(refusedAtOnce(URI).contains("got video/avc"));
        recording.tracks.remove(1);
        recording.track(null);
        assertTrue(refusedAtOnce(URI).contains("got a file without one"));
        recording.unreadable = new IOException("Failed to instantiate extractor.");
        assertSame(recording.unreadable, assertThrows(IOException.class, () -> open(URI)));
        assertThrows(IOException.class, () -> open(Uri.parse("https://example.org/a.mp4")));
    }

    @Test
    void cancelledWhileTheDecoderIsWaitedFor() throws IOException {
        frames(75);
        recording.stopsAfter = 10;
        try (VideoFile file = open(URI)) {
            file.next(GO_ON);
            assertThrows(
                    CancelledException.class,
                    () -> file.next(() -> {
                        if (SystemClock.now > 500) {
                            throw new CancelledException("expected a job that goes on, got one that was cancelled");
                        }
                    }));
        }
        assertTrue(SystemClock.now < 600, SystemClock.now + " ms");
    }

    private static final class Heard implements Listener {
        final List<String> calls = Collections.synchronizedList(new ArrayList<>());
        volatile Job cancels;

        @Override
        public void onFaces(Progress progress) {
            calls.add(progress.timeS + " s");
            if (cancels != null) {
                cancels.cancel();
            }
        }

        @Override
        public void onResult(Result result) {
            calls.add(result.framesScored + " frames");
        }

        @Override
        public void onError(EdgefakeException error) {
            calls.add(error.getClass().getSimpleName());
        }

        @Override
        public void onCancelled() {
            calls.add("cancelled");
        }
    }

    /** As {@code Edgefake.video} does it, with networks that see nothing. */
    private Heard judged(boolean cancel) throws InterruptedException {
        JobQueue queue = new JobQueue(() -> BlindNetwork.opened(() -> {}, new AtomicInteger()), Thread::new, Runnable::run);
        Heard heard = new Heard();
        Job[] job = new Job[1];
        synchronized (job) {
            job[0] = queue.submit(
                    settings -> {
                        synchronized (job) { // the job is known by now
                            heard.cancels = cancel ? job[0] : null;
                        }
                        return VideoFile.open(new Device(), URI, settings);
                    },
                    heard);
        }
        assertTrue(job[0].await(30, TimeUnit.SECONDS));
        assertEquals(0, recording.open, "given back before the last call");
        queue.close();
        return heard;
    }

    @Test
    void asAJob() throws InterruptedException {
        frames(75);
        assertEquals(Arrays.asList("0.0 s", "1.2 s", "2.4 s", "3 frames"), judged(false).calls);
        assertEquals(Arrays.asList("0.0 s", "cancelled"), judged(true).calls);
        recording.failsAfter = 50;
        assertEquals(Arrays.asList("0.0 s", "1.2 s", "InputException"), judged(false).calls);
    }
}
