package android.graphics;

import java.nio.Buffer;
import java.nio.ByteBuffer;

/** Android's, as far as {@code Bitmaps} touches it: pixels in rows with padding, and what it throws when recycled. */
public final class Bitmap {
    private final Config config;
    private final int width;
    private final int height;
    private final int rowBytes;
    private final byte[] pixels;
    private boolean recycled;

    /** Run once, before the next copy of the pixels: what another thread does meanwhile. */
    public Runnable meanwhile = () -> {};

    /** The copy that was made last, or null. */
    public Bitmap copied;

    /** @param pixels R, G, B, A in rows of rowBytes; null where they are not asked for. */
    public Bitmap(Config config, int width, int height, int rowBytes, byte[] pixels) {
        this.config = config;
        this.width = width;
        this.height = height;
        this.rowBytes = rowBytes;
        this.pixels = pixels;
    }

    public boolean isRecycled() {
        return recycled;
    }

    public void recycle() {
        recycled = true;
    }

    public Config getConfig() {
        return config;
    }

    public Bitmap copy(Config wanted, boolean isMutable) {
        require();
        copied = pixels == null ? null : new Bitmap(wanted, width, height, rowBytes, pixels);
        return copied;
    }

    public int getRowBytes() {
        return recycled ? 0 : rowBytes;
    }

    public int getWidth() {
        return width;
    }

    public int getHeight() {
        return height;
    }

    public void copyPixelsToBuffer(Buffer to) {
        meanwhile.run();
        require();
        if (config == Config.HARDWARE) {
            throw new IllegalStateException("pixel access is not supported on Config#HARDWARE bitmaps");
        }
        ((ByteBuffer) to).put(pixels, 0, rowBytes * height);
    }

    private void require() {
        if (recycled) {
            throw new IllegalStateException("Can't use a recycled bitmap");
        }
    }

    /** As Android has them. */
    public enum Config {
        ALPHA_8,
        RGB_565,
        ARGB_4444,
        ARGB_8888,
        RGBA_F16,
        HARDWARE,
        RGBA_1010102
    }
}
