package android.widget;

import android.view.ViewGroup;

public class LinearLayout extends ViewGroup {
    public void setOrientation(int orientation) {
        throw new UnsupportedOperationException();
    }

    public static final int HORIZONTAL = 0;

    public static final int VERTICAL = 1;

    public LinearLayout(android.content.Context context) {
        super(context);
    }

    public static class LayoutParams extends ViewGroup.MarginLayoutParams {
        public LayoutParams(int width, int height) {
            super(width, height);
        }

        public LayoutParams(int width, int height, float weight) {
            super(width, height);
        }
    }
}
