package android.media;

import java.util.HashMap;
import java.util.Map;

/** Android's, as far as it is touched. */
public final class MediaFormat {
    public static final String KEY_MIME = "mime";
    public static final String KEY_DURATION = "durationUs";
    public static final String KEY_ROTATION = "rotation-degrees";
    public static final String KEY_COLOR_FORMAT = "color-format";
    public static final String KEY_COLOR_RANGE = "color-range";
    public static final int COLOR_RANGE_FULL = 1;
    public static final int COLOR_RANGE_LIMITED = 2;

    private final Map<String, Object> values = new HashMap<>();

    public boolean containsKey(String name) {
        return values.containsKey(name);
    }

    public int getInteger(String name) {
        return (Integer) values.get(name); // NullPointerException where there is none, as Android's
    }

    public long getLong(String name) {
        return (Long) values.get(name);
    }

    public String getString(String name) {
        return (String) values.get(name);
    }

    public void setInteger(String name, int value) {
        values.put(name, value);
    }

    public void setLong(String name, long value) {
        values.put(name, value);
    }

    public void setString(String name, String value) {
        values.put(name, value);
    }
}
