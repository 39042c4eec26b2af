package android.graphics;

public class Canvas {
    public Canvas() {
        throw new UnsupportedOperationException();
    }

    public void drawRect(float left, float top, float right, float bottom, Paint paint) {
        throw new UnsupportedOperationException();
    }

    public void drawText(String text, float x, float y, Paint paint) {
        throw new UnsupportedOperationException();
    }
}
