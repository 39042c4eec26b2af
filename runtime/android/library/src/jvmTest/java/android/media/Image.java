package android.media;

import android.graphics.Rect;
import java.nio.ByteBuffer;

/** Android's, as far as it is touched: every call on one that was closed throws, and so do its planes. */
public final class Image implements AutoCloseable {
    private final int format;
    private final long timestamp;
    private final Rect crop;
    private final Plane[] planes;
    private boolean closed;

    /**
     * @param format such as ImageFormat.YUV_420_888.
     * @param timestamp nanoseconds.
     * @param crop what is meant to be seen.
     * @param planes Y, Cb, Cr.
     */
    public Image(int format, long timestamp, Rect crop, Plane... planes) {
        this.format = format;
        this.timestamp = timestamp;
        this.crop = crop;
        this.planes = planes;
        for (Plane plane : planes) {
            plane.image = this;
        }
    }

    public int getFormat() {
        require();
        return format;
    }

    public long getTimestamp() {
        require();
        return timestamp;
    }

    public Rect getCropRect() {
        require();
        return crop;
    }

    public Plane[] getPlanes() {
        require();
        return planes;
    }

    @Override
    public void close() {
        closed = true;
    }

    /** Whether it was closed, or the buffer behind it given back. */
    public boolean isClosed() {
        return closed;
    }

    private void require() {
        if (closed) {
            throw new IllegalStateException("Image is already closed");
        }
    }

    /** Values of one colour. */
    public static final class Plane {
        private final ByteBuffer bytes;
        private final int rowStride;
        private final int pixelStride;
        private Image image;

        public Plane(byte[] bytes, int rowStride, int pixelStride) {
            this.bytes = ByteBuffer.wrap(bytes);
            this.rowStride = rowStride;
            this.pixelStride = pixelStride;
        }

        public int getRowStride() {
            image.require();
            return rowStride;
        }

        public int getPixelStride() {
            image.require();
            return pixelStride;
        }

        public ByteBuffer getBuffer() {
            image.require();
            return bytes;
        }
    }
}
