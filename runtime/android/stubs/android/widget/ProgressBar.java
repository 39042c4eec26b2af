package android.widget;

import android.view.View;

public class ProgressBar extends View {
    public synchronized void setMax(int max) {
        throw new UnsupportedOperationException();
    }

    public synchronized void setProgress(int progress) {
        throw new UnsupportedOperationException();
    }

    public synchronized void setIndeterminate(boolean indeterminate) {
        throw new UnsupportedOperationException();
    }

    public ProgressBar(android.content.Context context, android.util.AttributeSet attrs, int defStyleAttr) {
        super(context);
    }
}
