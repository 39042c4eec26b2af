package android.media;

import android.os.SystemClock;
import android.view.Surface;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Comparator;
import java.util.PriorityQueue;

/**
 * A decoder of a {@link Recording} that keeps the rules of Android's, as far as {@code VideoFile} touches it: its states,
 * few buffers, frames in order of time some while after their samples, waiting that takes time (of SystemClock), and
 * images that end with their buffer.
 */
public final class MediaCodec {
    public static final int BUFFER_FLAG_END_OF_STREAM = 4;
    public static final int INFO_TRY_AGAIN_LATER = -1;
    public static final int INFO_OUTPUT_FORMAT_CHANGED = -2;

    private static final int INPUT = 1; // indices; there is one buffer of each kind
    private static final int OUTPUT = 5;
    private static final int FREE_INPUTS = 2;

    private enum State {
        UNINITIALIZED,
        CONFIGURED,
        STARTED,
        RELEASED
    }

    private final Recording recording;
    private final ByteBuffer input = ByteBuffer.allocate(64);
    private final PriorityQueue<long[]> kept; // time and number
    private State state = State.UNINITIALIZED;
    private boolean asked;
    private boolean ended;
    private boolean saidFormat;
    private boolean saidEnd;
    private long[] given;
    private Image image;
    private int count;
    private long readyMs;

    private MediaCodec(Recording recording) {
        this.recording = recording;
        int order = recording.latency > 0 ? 0 : 1;
        this.kept = new PriorityQueue<>(Comparator.comparingLong((long[] each) -> each[order]));
        recording.open++;
    }

    public static MediaCodec createDecoderByType(String type) throws IOException {
        if (!type.equals(Recording.current.decodes)) {
            throw new IOException("Failed to initialize " + type + ", error 0xfffffffe");
        }
        return new MediaCodec(Recording.current);
    }

    public void configure(MediaFormat format, Surface surface, MediaCrypto crypto, int flags) {
        require(State.UNINITIALIZED);
        if (recording.unfit != null) {
            throw recording.unfit;
        }
        recording.configured = format;
        state = State.CONFIGURED;
    }

    public void start() {
        require(State.CONFIGURED);
        state = State.STARTED;
    }

    public void stop() {
        require(State.STARTED);
        if (count >= recording.failsAfter) {
            throw new IllegalStateException("stop");
        }
        state = State.UNINITIALIZED;
    }

    public void release() {
        if (state != State.RELEASED) {
            state = State.RELEASED;
            recording.open--;
        }
    }

    public int dequeueInputBuffer(long timeoutUs) {
        run();
        boolean full = count >= recording.stopsAfter || kept.size() >= recording.latency + FREE_INPUTS;
        if (asked || ended || full) {
            return INFO_TRY_AGAIN_LATER;
        }
        asked = true;
        return INPUT;
    }

    public ByteBuffer getInputBuffer(int index) {
        run();
        return asked && index == INPUT ? input : null;
    }

    public void queueInputBuffer(int index, int offset, int size, long timeUs, int flags) {
        run();
        if (!asked || index != INPUT || ended) {
            throw new IllegalStateException("an input buffer that was not lent");
        }
        asked = false;
        ended = (flags & BUFFER_FLAG_END_OF_STREAM) != 0;
        if (size > 0) {
            kept.add(new long[] {timeUs, input.getInt(offset)});
        }
    }

    public int dequeueOutputBuffer(BufferInfo info, long timeoutUs) {
        run();
        if (given != null) {
            throw new IllegalStateException("the only output buffer was not given back");
        }
        boolean stopped = count >= recording.stopsAfter || saidEnd || SystemClock.now < readyMs;
        if (stopped || (!ended && kept.size() <= recording.latency)) {
            SystemClock.now += timeoutUs / 1000;
            return INFO_TRY_AGAIN_LATER;
        }
        if (!saidFormat) {
            saidFormat = true;
            return INFO_OUTPUT_FORMAT_CHANGED;
        }
        given = kept.poll();
        saidEnd = ended && (given == null || (recording.endsWithLastFrame && kept.isEmpty()));
        info.size = given == null ? 0 : 12;
        info.presentationTimeUs = given == null ? 0 : given[0];
        info.flags = saidEnd ? BUFFER_FLAG_END_OF_STREAM : 0;
        if (given == null) {
            given = new long[] {0, -1};
        } else {
            count++;
            readyMs = SystemClock.now + recording.msPerFrame;
        }
        recording.open++;
        return OUTPUT;
    }

    public MediaFormat getOutputFormat() {
        run();
        MediaFormat format = new MediaFormat();
        if (recording.colorRange != 0) {
            format.setInteger(MediaFormat.KEY_COLOR_RANGE, recording.colorRange);
        }
        return format;
    }

    public Image getOutputImage(int index) {
        lent(index);
        image = recording.image((int) given[1], given[0]);
        return image;
    }

    public void releaseOutputBuffer(int index, boolean render) {
        lent(index);
        if (image != null) {
            image.close();
        }
        image = null;
        given = null;
        recording.open--;
    }

    private void lent(int index) {
        require(State.STARTED);
        if (index != OUTPUT || given == null) {
            throw new IllegalStateException("an output buffer that was not lent");
        }
    }

    private void run() {
        require(State.STARTED);
        if (count >= recording.failsAfter) {
            throw new IllegalStateException("Error 0xffffec77\nmore of it");
        }
    }

    private void require(State wanted) {
        if (state != wanted) {
            throw new IllegalStateException("expected " + wanted + ", got " + state);
        }
    }

    /** What a buffer holds. */
    public static final class BufferInfo {
        public int offset;
        public int size;
        public long presentationTimeUs;
        public int flags;
    }
}
