package android.widget;

import android.view.View;

public class TextView extends View {
    public final void setText(CharSequence text) {
        throw new UnsupportedOperationException();
    }

    public void setTextSize(float size) {
        throw new UnsupportedOperationException();
    }

    public void setTextIsSelectable(boolean selectable) {
        throw new UnsupportedOperationException();
    }

    public TextView(android.content.Context context) {
        super(context);
    }
}
