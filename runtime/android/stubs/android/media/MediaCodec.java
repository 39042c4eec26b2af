package android.media;

public final class MediaCodec {
    public static final int BUFFER_FLAG_END_OF_STREAM = 4;

    public static final int INFO_OUTPUT_FORMAT_CHANGED = -2;

    MediaCodec() {
        throw new UnsupportedOperationException();
    }

    public static MediaCodec createDecoderByType(String type) throws java.io.IOException {
        throw new UnsupportedOperationException();
    }

    public void configure(MediaFormat format, android.view.Surface surface, MediaCrypto crypto, int flags) {
        throw new UnsupportedOperationException();
    }

    public void configure(MediaFormat format, android.view.Surface surface, int flags, MediaDescrambler descrambler) {
        throw new UnsupportedOperationException();
    }

    public final void start() {
        throw new UnsupportedOperationException();
    }

    public final void stop() {
        throw new UnsupportedOperationException();
    }

    public final void release() {
        throw new UnsupportedOperationException();
    }

    public final int dequeueInputBuffer(long timeoutUs) {
        throw new UnsupportedOperationException();
    }

    public final int dequeueOutputBuffer(BufferInfo info, long timeoutUs) {
        throw new UnsupportedOperationException();
    }

    public java.nio.ByteBuffer getInputBuffer(int index) {
        throw new UnsupportedOperationException();
    }

    public Image getOutputImage(int index) {
        throw new UnsupportedOperationException();
    }

    public final void queueInputBuffer(int index, int offset, int size, long presentationTimeUs, int flags)
            throws CryptoException {
        throw new UnsupportedOperationException();
    }

    public final void releaseOutputBuffer(int index, boolean render) {
        throw new UnsupportedOperationException();
    }

    public final MediaFormat getOutputFormat() {
        throw new UnsupportedOperationException();
    }

    public static final class CryptoException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        public CryptoException(int errorCode, String detailMessage) {
            throw new UnsupportedOperationException();
        }
    }

    public static final class BufferInfo {
        public int offset;

        public int size;

        public long presentationTimeUs;

        public int flags;

        public BufferInfo() {
            throw new UnsupportedOperationException();
        }
    }
}
