package android.graphics;

public final class Bitmap {
    Bitmap() {
        throw new UnsupportedOperationException();
    }

    public final boolean isRecycled() {
        throw new UnsupportedOperationException();
    }

    public void recycle() {
        throw new UnsupportedOperationException();
    }

    public final Config getConfig() {
        throw new UnsupportedOperationException();
    }

    public Bitmap copy(Config config, boolean isMutable) {
        throw new UnsupportedOperationException();
    }

    public final int getRowBytes() {
        throw new UnsupportedOperationException();
    }

    public final int getWidth() {
        throw new UnsupportedOperationException();
    }

    public final int getHeight() {
        throw new UnsupportedOperationException();
    }

    public void copyPixelsToBuffer(java.nio.Buffer dst) {
        throw new UnsupportedOperationException();
    }

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
