package android.media;

public final class MediaExtractor {
    public MediaExtractor() {
        throw new UnsupportedOperationException();
    }

    public void setDataSource(android.content.res.AssetFileDescriptor afd)
            throws java.io.IOException, IllegalArgumentException, IllegalStateException {
        throw new UnsupportedOperationException();
    }

    public final int getTrackCount() {
        throw new UnsupportedOperationException();
    }

    public MediaFormat getTrackFormat(int index) {
        throw new UnsupportedOperationException();
    }

    public void selectTrack(int index) {
        throw new UnsupportedOperationException();
    }

    public int readSampleData(java.nio.ByteBuffer byteBuf, int offset) {
        throw new UnsupportedOperationException();
    }

    public long getSampleTime() {
        throw new UnsupportedOperationException();
    }

    public boolean advance() {
        throw new UnsupportedOperationException();
    }

    public void release() {
        throw new UnsupportedOperationException();
    }
}
