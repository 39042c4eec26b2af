package android.content;

public abstract class Context {
    public abstract Context getApplicationContext();

    public abstract android.content.res.AssetManager getAssets();

    public abstract ContentResolver getContentResolver();

    public abstract java.io.File getCacheDir();

    public abstract android.content.res.Resources getResources();
}
