package android.app;

import android.content.Intent;
import android.os.Bundle;
import android.view.ContextThemeWrapper;
import android.view.View;

public class Activity extends ContextThemeWrapper {
    protected void onCreate(Bundle savedInstanceState) {
        throw new UnsupportedOperationException();
    }

    protected void onDestroy() {
        throw new UnsupportedOperationException();
    }

    protected void onActivityResult(int requestCode, int resultCode, Intent data) {
        throw new UnsupportedOperationException();
    }

    public void startActivityForResult(Intent intent, int requestCode) {
        throw new UnsupportedOperationException();
    }

    public void setContentView(View view) {
        throw new UnsupportedOperationException();
    }

    public static final int RESULT_OK = -1;

    public Activity() {
        super(null, 0);
    }
}
