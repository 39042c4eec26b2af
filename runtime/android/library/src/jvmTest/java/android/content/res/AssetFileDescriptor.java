package android.content.res;

import android.media.Recording;
import java.io.Closeable;

/** Android's, as far as it is touched. */
public final class AssetFileDescriptor implements Closeable {
    public AssetFileDescriptor() {
        Recording.current.open++;
    }

    @Override
    public void close() {
        Recording.current.open--;
    }
}
