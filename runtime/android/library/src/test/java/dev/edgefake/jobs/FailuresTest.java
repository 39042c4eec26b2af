package dev.edgefake.jobs;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.InputException;
import dev.edgefake.core.ModelFileException;
import java.io.FileNotFoundException;
import java.io.IOException;
import org.junit.jupiter.api.Test;

class FailuresTest {
    @Test
    void ownErrorsStay() {
        EdgefakeException error = new ModelFileException("expected a bundle, got none");
        assertSame(error, Failures.of(error));
    }

    @Test
    void missingPermissions() {
        Exception denied = new SecurityException("Permission Denial: reading com.android.providers.media");
        Exception file = new FileNotFoundException("/sdcard/a.mp4: open failed: EACCES (Permission denied)");
        for (Exception error : new Exception[] {denied, file, new IOException("cannot open", file)}) {
            EdgefakeException found = Failures.of(error);
            assertSame(PermissionException.class, found.getClass());
            assertTrue(found instanceof InputException && found.getCause() == error);
            assertTrue(found.getMessage().startsWith("expected a file that this app may read, got: "));
        }
    }

    @Test
    void theRestIsInput() {
        for (Throwable error : new Throwable[] {
            new FileNotFoundException("No content provider: https://example.org/a.mp4"),
            new IllegalStateException(),
            new OutOfMemoryError("Failed to allocate\na 1 GB block")
        }) {
            assertTold(InputException.class, error, Failures.of(error));
            assertFalse(Failures.isFault(error));
        }
    }

    @Test
    void whatTheAppLacks() {
        for (Error error : new Error[] {
            new NoClassDefFoundError("Failed resolution of: Lorg/tensorflow/lite/Interpreter;"),
            new UnsatisfiedLinkError("dlopen failed: library \"libLiteRt.so\" not found\nsecond line"),
            new ExceptionInInitializerError()
        }) {
            assertTold(ModelFileException.class, error, Failures.of(error));
            assertFalse(Failures.isFault(error));
        }
        OutOfMemoryError memory = new OutOfMemoryError();
        assertTold(ModelFileException.class, memory, Failures.ofBundle(memory));
    }

    @Test
    void faultsOfTheProgramAreNamed() {
        for (Error error : new Error[] {new StackOverflowError(), new AssertionError("never"), new InternalError()}) {
            EdgefakeException found = Failures.of(error);
            assertTold(InputException.class, error, found);
            assertTrue(found.getMessage().contains(error.getClass().getSimpleName()), found.getMessage());
            assertTrue(Failures.isFault(error));
        }
    }

    /** One line with a cure, of exactly this class. */
    private static void assertTold(Class<?> type, Throwable cause, EdgefakeException found) {
        assertSame(type, found.getClass());
        assertSame(cause, found.getCause());
        assertTrue(found.getMessage().matches("expected .*, got: .+; .+"), found.getMessage());
    }
}
