package android.media;

public final class MediaDescrambler {
    MediaDescrambler() {
        throw new UnsupportedOperationException();
    }
}
