package android.view;

public class View {
    public View(android.content.Context context) {
        throw new UnsupportedOperationException();
    }

    protected void onDraw(android.graphics.Canvas canvas) {
        throw new UnsupportedOperationException();
    }

    public void postInvalidateOnAnimation() {
        throw new UnsupportedOperationException();
    }

    public void invalidate() {
        throw new UnsupportedOperationException();
    }

    public final int getWidth() {
        throw new UnsupportedOperationException();
    }

    public final int getHeight() {
        throw new UnsupportedOperationException();
    }

    public void setEnabled(boolean enabled) {
        throw new UnsupportedOperationException();
    }

    public void setVisibility(int visibility) {
        throw new UnsupportedOperationException();
    }

    public void setPadding(int left, int top, int right, int bottom) {
        throw new UnsupportedOperationException();
    }

    public void setFitsSystemWindows(boolean fitSystemWindows) {
        throw new UnsupportedOperationException();
    }

    public void setOnClickListener(OnClickListener l) {
        throw new UnsupportedOperationException();
    }

    public static final int VISIBLE = 0;

    public static final int INVISIBLE = 4;

    public interface OnClickListener {
        void onClick(View v);
    }
}
