package android.os;

/** Android's, standing still but for what a test, or waiting in MediaCodec, adds. */
public final class SystemClock {
    /** Milliseconds. */
    public static long now;

    private SystemClock() {}

    public static long elapsedRealtime() {
        return now;
    }
}
