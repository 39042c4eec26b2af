package android.media;

public final class MediaFormat {
    public static final String KEY_MIME = "mime";

    public static final String KEY_DURATION = "durationUs";

    public static final String KEY_ROTATION = "rotation-degrees";

    public static final String KEY_COLOR_FORMAT = "color-format";

    public static final String KEY_COLOR_RANGE = "color-range";

    public static final int COLOR_RANGE_FULL = 1;

    public static final int COLOR_RANGE_LIMITED = 2;

    public MediaFormat() {
        throw new UnsupportedOperationException();
    }

    public boolean containsKey(String name) {
        throw new UnsupportedOperationException();
    }

    public int getInteger(String name) {
        throw new UnsupportedOperationException();
    }

    public long getLong(String name) {
        throw new UnsupportedOperationException();
    }

    public String getString(String name) {
        throw new UnsupportedOperationException();
    }

    public void setInteger(String name, int value) {
        throw new UnsupportedOperationException();
    }
}
