package android.os;

public final class SystemClock {
    SystemClock() {
        throw new UnsupportedOperationException();
    }

    public static long elapsedRealtime() {
        throw new UnsupportedOperationException();
    }
}
