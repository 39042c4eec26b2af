package android.content.res;

public class Resources {
    Resources() {
        throw new UnsupportedOperationException();
    }

    public android.util.DisplayMetrics getDisplayMetrics() {
        throw new UnsupportedOperationException();
    }
}
