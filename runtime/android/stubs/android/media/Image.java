package android.media;

import android.graphics.Rect;

public abstract class Image implements AutoCloseable {
    Image() {
        throw new UnsupportedOperationException();
    }

    public abstract int getFormat();

    public abstract long getTimestamp();

    public abstract Plane[] getPlanes();

    public Rect getCropRect() {
        throw new UnsupportedOperationException();
    }

    @Override
    public abstract void close();

    public abstract static class Plane {
        Plane() {
            throw new UnsupportedOperationException();
        }

        public abstract int getRowStride();

        public abstract int getPixelStride();

        public abstract java.nio.ByteBuffer getBuffer();
    }
}
