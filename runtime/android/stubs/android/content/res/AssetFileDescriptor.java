package android.content.res;

public class AssetFileDescriptor implements java.io.Closeable {
    AssetFileDescriptor() {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() throws java.io.IOException {
        throw new UnsupportedOperationException();
    }
}
