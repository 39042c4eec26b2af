package android.media;

public final class MediaCodecInfo {
    MediaCodecInfo() {
        throw new UnsupportedOperationException();
    }

    public static final class CodecCapabilities {
        public static final int COLOR_FormatYUV420Flexible = 0x7F420888;

        public CodecCapabilities() {
            throw new UnsupportedOperationException();
        }
    }
}
