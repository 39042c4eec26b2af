package dev.edgefake.android;

import android.content.Context;
import android.content.res.AssetFileDescriptor;
import android.media.Image;
import android.media.MediaCodec;
import android.media.MediaCodecInfo;
import android.media.MediaExtractor;
import android.media.MediaFormat;
import android.net.Uri;
import android.os.SystemClock;
import dev.edgefake.core.Frame;
import dev.edgefake.core.InputException;
import dev.edgefake.core.VideoSettings;
import dev.edgefake.core.YuvColor;
import dev.edgefake.jobs.FrameSource;
import dev.edgefake.jobs.Stop;
import dev.edgefake.jobs.TimedFrame;
import java.io.IOException;
import java.nio.ByteBuffer;

/**
 * A video file, decoded frame by frame; of every so many one is copied out and turned as the file asks. Memory does not
 * grow with its length. Colours are taken as BT.601, in the range that the decoder reports: so does OpenCV, from whose
 * frames the model's calibration comes.
 */
public final class VideoFile implements FrameSource {
    private static final long WAIT_US = 10_000;
    private static final long PATIENCE_MS = 15_000;

    private final MediaExtractor extractor;
    private final MediaCodec codec;
    private final MediaCodec.BufferInfo info = new MediaCodec.BufferInfo();
    private final int every;
    private final int degrees;
    private final double durationS;
    private YuvColor color = YuvColor.BT601_LIMITED;
    private boolean fed;
    private boolean drained;
    private int seen;
    private double lastS;

    private VideoFile(MediaExtractor extractor, MediaCodec codec, MediaFormat format, int every) {
        this.extractor = extractor;
        this.codec = codec;
        this.every = every;
        this.degrees = integer(format, MediaFormat.KEY_ROTATION, 0);
        this.durationS = format.containsKey(MediaFormat.KEY_DURATION)
                ? format.getLong(MediaFormat.KEY_DURATION) / 1e6
                : Double.NaN;
    }

    /**
     * Opens a video.
     *
     * @param uri content:, file: or android.resource:; nothing is fetched from a network.
     * @param video which frames are scored.
     * @throws InputException no such file, not a video, or none that this device decodes.
     * @throws IOException it cannot be read.
     */
    public static VideoFile open(Context context, Uri uri, VideoSettings video) throws IOException {
        MediaExtractor extractor = new MediaExtractor();
        MediaCodec codec = null;
        boolean opened = false;
        try {
            select(extractor, context, uri);
            int track = videoTrack(extractor, uri);
            extractor.selectTrack(track);
            MediaFormat format = extractor.getTrackFormat(track);
            codec = decoder(format, uri);
            VideoFile file = new VideoFile(extractor, codec, format, video.every);
            opened = true;
            return file;
        } finally {
            if (!opened) {
                if (codec != null) {
                    codec.release();
                }
                extractor.release();
            }
        }
    }

    private static void select(MediaExtractor extractor, Context context, Uri uri) throws IOException {
        if (uri == null) {
            throw new InputException("expected a video's Uri, got none; look at what the picker or recorder gave");
        }
        try (AssetFileDescriptor file = context.getContentResolver().openAssetFileDescriptor(uri, "r")) {
            if (file == null) {
                throw new InputException("expected a video at " + uri + ", got nothing; pick it again");
            }
            extractor.setDataSource(file);
        }
    }

    private static int videoTrack(MediaExtractor extractor, Uri uri) {
        for (int track = 0; track < extractor.getTrackCount(); track++) {
            if (mime(extractor.getTrackFormat(track)).startsWith("video/")) {
                return track;
            }
        }
        throw new InputException("expected a video at " + uri + ", got a file without one");
    }

    private static MediaCodec decoder(MediaFormat format, Uri uri) throws IOException {
        MediaCodec codec = null;
        try {
            codec = MediaCodec.createDecoderByType(mime(format));
            format.setInteger(
                    MediaFormat.KEY_COLOR_FORMAT, MediaCodecInfo.CodecCapabilities.COLOR_FormatYUV420Flexible);
            codec.configure(format, null, null, 0);
            codec.start();
            return codec;
        } catch (IllegalArgumentException | IllegalStateException | IOException error) {
            if (codec != null) {
                codec.release();
            }
            throw new InputException("expected a video that this device decodes, got " + mime(format) + " at " + uri
                    + "; convert it to H.264 of 8 bits", error);
        }
    }

    private static String mime(MediaFormat format) {
        String mime = format.getString(MediaFormat.KEY_MIME);
        return mime == null ? "" : mime;
    }

    private static int integer(MediaFormat format, String key, int otherwise) {
        return format.containsKey(key) ? format.getInteger(key) : otherwise;
    }

    @Override
    public TimedFrame next(Stop stop) {
        try {
            return decode(stop);
        } catch (IllegalStateException error) { // MediaCodec.CodecException is one
            String said = String.valueOf(error.getMessage()).split("\n", 2)[0];
            throw new InputException("expected a video that this device decodes, got a decoder that failed after " + seen
                    + " frames: " + said + "; convert it to H.264 of 8 bits", error);
        }
    }

    private TimedFrame decode(Stop stop) {
        long lastMove = SystemClock.elapsedRealtime();
        while (!drained) {
            stop.check();
            boolean moved = feed();
            int index = codec.dequeueOutputBuffer(info, WAIT_US);
            if (index == MediaCodec.INFO_OUTPUT_FORMAT_CHANGED) {
                color = color(codec.getOutputFormat());
            } else if (index >= 0) {
                TimedFrame wanted = take(index);
                if (wanted != null) {
                    return wanted;
                }
            }
            long now = SystemClock.elapsedRealtime();
            if (moved || index >= 0) {
                lastMove = now;
            } else if (now - lastMove > PATIENCE_MS) {
                throw new InputException("expected a video that this device decodes, got a decoder that stopped after "
                        + seen + " frames; convert it to H.264 of 8 bits");
            }
        }
        if (seen == 0) {
            throw new InputException("expected a video with frames, got none that this device decodes");
        }
        return null;
    }

    /** Hands the decoder the next piece of the file, where it takes one. */
    private boolean feed() {
        int index = fed ? -1 : codec.dequeueInputBuffer(0);
        if (index < 0) {
            return false;
        }
        ByteBuffer buffer = codec.getInputBuffer(index);
        int size = buffer == null ? -1 : extractor.readSampleData(buffer, 0);
        if (size < 0) {
            codec.queueInputBuffer(index, 0, 0, 0, MediaCodec.BUFFER_FLAG_END_OF_STREAM);
            fed = true;
        } else {
            codec.queueInputBuffer(index, 0, size, extractor.getSampleTime(), 0);
            extractor.advance();
        }
        return true;
    }

    /** A decoded frame, copied where it is to be scored, and given back. */
    private TimedFrame take(int index) {
        try {
            drained = (info.flags & MediaCodec.BUFFER_FLAG_END_OF_STREAM) != 0;
            if (info.size == 0 || seen++ % every != 0) {
                return null;
            }
            lastS = Math.max(lastS, info.presentationTimeUs / 1e6);
            try (Image image = codec.getOutputImage(index)) {
                if (image == null) {
                    throw new InputException("expected a video of 8 bits a value, got one that this device decodes"
                            + " to something else; convert it to H.264 of 8 bits");
                }
                Frame frame = Images.copy(image, color);
                return new TimedFrame(frame.rotated(degrees), lastS);
            }
        } finally {
            codec.releaseOutputBuffer(index, false);
        }
    }

    private static YuvColor color(MediaFormat format) {
        int range = integer(format, MediaFormat.KEY_COLOR_RANGE, MediaFormat.COLOR_RANGE_LIMITED);
        return range == MediaFormat.COLOR_RANGE_FULL ? YuvColor.BT601_FULL : YuvColor.BT601_LIMITED;
    }

    @Override
    public double share(double timeS) {
        return durationS > 0 ? Math.min(timeS / durationS, 1) : Double.NaN;
    }

    @Override
    public void close() {
        try {
            codec.stop();
        } catch (IllegalStateException error) {
            // it failed before; what it holds is freed all the same
        } finally {
            codec.release();
            extractor.release();
        }
    }
}
