package android.content;

public abstract class ContentResolver {
    public ContentResolver(Context context) {
        throw new UnsupportedOperationException();
    }

    public final android.content.res.AssetFileDescriptor openAssetFileDescriptor(android.net.Uri uri, String mode)
            throws java.io.FileNotFoundException {
        throw new UnsupportedOperationException();
    }
}
