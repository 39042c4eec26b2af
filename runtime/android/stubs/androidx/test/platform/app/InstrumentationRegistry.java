package androidx.test.platform.app;

public final class InstrumentationRegistry {
    InstrumentationRegistry() {
        throw new UnsupportedOperationException();
    }

    public static android.app.Instrumentation getInstrumentation() {
        throw new UnsupportedOperationException();
    }
}
