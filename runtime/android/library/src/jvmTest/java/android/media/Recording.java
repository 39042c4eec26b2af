package android.media;

import android.graphics.Rect;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** A video file with the decoder that this device has for it, as a test wants both; and what became of them. */
public final class Recording {
    /** The one that {@code MediaExtractor} opens next. */
    public static Recording current = new Recording();

    /** Width of a frame, pixels. */
    public static final int WIDTH = 4;

    /** Height of a frame, pixels. */
    public static final int HEIGHT = 2;

    /** What the file has; the first one that is a video is decoded. */
    public final List<MediaFormat> tracks = new ArrayList<>();

    /** Times of the frames in the order in which they lie in the file, microseconds. */
    public final List<Long> timesUs = new ArrayList<>();

    /** The type that this device decodes. */
    public String decodes = "video/avc";

    /** Thrown when the file is read, or null. */
    public IOException unreadable;

    /** Thrown when the decoder is set up, or null. */
    public RuntimeException unfit;

    /** Frames that the decoder keeps back to put them in order of time; none leaves them in the file's. */
    public int latency = 3;

    /** Whether the last frame has the flag of the end, instead of an empty buffer after it. */
    public boolean endsWithLastFrame;

    /** Milliseconds from a frame to the next. */
    public long msPerFrame;

    /** Frames after which the decoder gives nothing more, and takes nothing. */
    public int stopsAfter = Integer.MAX_VALUE;

    /** Frames after which the decoder fails at every call. */
    public int failsAfter = Integer.MAX_VALUE;

    /** Of the decoded frames; 0 for one that is no image. */
    public int imageFormat = 0x23; // YUV_420_888

    /** Range of their values, or 0 where the decoder does not say. */
    public int colorRange;

    /** What the decoder was set up with. */
    public MediaFormat configured;

    /** Frames that were looked at. */
    public int images;

    /** Extractors, decoders, descriptors, and frames that were not given back. */
    public int open;

    /** Adds a track. */
    public MediaFormat track(String mime) {
        MediaFormat format = new MediaFormat();
        if (mime != null) {
            format.setString(MediaFormat.KEY_MIME, mime);
        }
        tracks.add(format);
        return format;
    }

    /** A frame whose luma is 16 and its number, and one more from column to column; without colour. */
    Image image(int number, long timeUs) {
        images++;
        if (imageFormat == 0) {
            return null;
        }
        byte[] luma = new byte[WIDTH * HEIGHT];
        for (int i = 0; i < luma.length; i++) {
            luma[i] = (byte) (16 + number + i % WIDTH);
        }
        byte[] chroma = new byte[WIDTH * HEIGHT / 2]; // Cb and Cr in turns, as most decoders have them
        java.util.Arrays.fill(chroma, (byte) 128);
        return new Image(
                imageFormat,
                1000 * timeUs,
                new Rect(0, 0, WIDTH, HEIGHT),
                new Image.Plane(luma, WIDTH, 1),
                new Image.Plane(chroma, WIDTH, 2),
                new Image.Plane(chroma, WIDTH, 2));
    }
}
