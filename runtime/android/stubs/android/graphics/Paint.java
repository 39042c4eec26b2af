package android.graphics;

public class Paint {
    public static final int ANTI_ALIAS_FLAG = 1;

    public Paint(int flags) {
        throw new UnsupportedOperationException();
    }

    public void setColor(int color) {
        throw new UnsupportedOperationException();
    }

    public void setStyle(Style style) {
        throw new UnsupportedOperationException();
    }

    public void setStrokeWidth(float width) {
        throw new UnsupportedOperationException();
    }

    public void setTextSize(float textSize) {
        throw new UnsupportedOperationException();
    }

    public enum Style {
        FILL,
        STROKE,
        FILL_AND_STROKE
    }
}
