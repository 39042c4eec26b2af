package android.content;

public class ContextWrapper extends Context {
    public ContextWrapper(Context base) {
        throw new UnsupportedOperationException();
    }

    @Override
    public Context getApplicationContext() {
        throw new UnsupportedOperationException();
    }

    @Override
    public android.content.res.AssetManager getAssets() {
        throw new UnsupportedOperationException();
    }

    @Override
    public ContentResolver getContentResolver() {
        throw new UnsupportedOperationException();
    }

    @Override
    public java.io.File getCacheDir() {
        throw new UnsupportedOperationException();
    }

    @Override
    public android.content.res.Resources getResources() {
        throw new UnsupportedOperationException();
    }
}
