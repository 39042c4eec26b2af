package android.provider;

public final class MediaStore {
    public static final String ACTION_VIDEO_CAPTURE = "android.media.action.VIDEO_CAPTURE";

    public static final String EXTRA_DURATION_LIMIT = "android.intent.extra.durationLimit";

    public MediaStore() {
        throw new UnsupportedOperationException();
    }
}
