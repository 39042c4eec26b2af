package android.os;

public class Process {
    public static final int THREAD_PRIORITY_BACKGROUND = 10;

    public static final void setThreadPriority(int priority) throws IllegalArgumentException, SecurityException {
        throw new UnsupportedOperationException();
    }
}
