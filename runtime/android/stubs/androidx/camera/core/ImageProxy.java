package androidx.camera.core;

public interface ImageProxy extends AutoCloseable {
    int getFormat();

    android.graphics.Rect getCropRect();

    PlaneProxy[] getPlanes();

    ImageInfo getImageInfo();

    @Override
    void close();

    interface PlaneProxy {
        int getRowStride();

        int getPixelStride();

        java.nio.ByteBuffer getBuffer();
    }
}
