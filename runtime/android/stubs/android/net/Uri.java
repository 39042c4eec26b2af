package android.net;

public abstract class Uri {
    Uri() {
        throw new UnsupportedOperationException();
    }

    public static Uri parse(String uriString) {
        throw new UnsupportedOperationException();
    }

    public static Uri fromFile(java.io.File file) {
        throw new UnsupportedOperationException();
    }
}
