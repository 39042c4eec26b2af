package android.media;

public final class MediaCrypto {
    MediaCrypto() {
        throw new UnsupportedOperationException();
    }
}
