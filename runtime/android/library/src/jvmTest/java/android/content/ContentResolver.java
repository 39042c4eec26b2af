package android.content;

import android.content.res.AssetFileDescriptor;
import android.net.Uri;
import java.io.FileNotFoundException;
import java.util.Objects;

/** Android's, as far as it is touched: a file at every address of content:, and none elsewhere. */
public final class ContentResolver {
    public AssetFileDescriptor openAssetFileDescriptor(Uri uri, String mode) throws FileNotFoundException {
        String text = Objects.requireNonNull(uri, "uri").toString();
        if (text.endsWith("/nothing")) {
            return null; // as providers do that have just crashed
        }
        if (!text.startsWith("content:")) {
            throw new FileNotFoundException("No content provider: " + text);
        }
        return new AssetFileDescriptor();
    }
}
