package android.graphics;

public class BitmapFactory {
    public BitmapFactory() {
        throw new UnsupportedOperationException();
    }

    public static Bitmap decodeStream(java.io.InputStream is) {
        throw new UnsupportedOperationException();
    }
}
