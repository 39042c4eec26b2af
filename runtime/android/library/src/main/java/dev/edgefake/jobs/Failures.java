package dev.edgefake.jobs;

import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.InputException;
import dev.edgefake.core.ModelFileException;

/** What is thrown underneath, as one of this library's exceptions. */
final class Failures {
    private Failures() {}

    /** Its own exceptions as they are; the rest by what the system says. */
    static EdgefakeException of(Throwable error) {
        if (error instanceof EdgefakeException) {
            return (EdgefakeException) error;
        }
        if (denied(error)) {
            return new PermissionException("expected a file that this app may read, got: " + firstLine(error)
                    + "; let the user pick it, or ask for the permission to read it", error);
        }
        if (error instanceof OutOfMemoryError) {
            return new InputException("expected frames that fit into memory, got: " + firstLine(error)
                    + "; take smaller ones", error);
        }
        if (error instanceof LinkageError) { // no library for this processor, or classes that were stripped
            return new ModelFileException("expected an app with LiteRT and all of its classes, got: "
                    + firstLine(error) + "; keep com.google.ai.edge.litert:litert in it, on arm64-v8a or x86_64", error);
        }
        if (isFault(error)) {
            return new InputException("expected a job without faults, got: " + error.getClass().getSimpleName()
                    + "; report it with the input that leads to it", error);
        }
        return new InputException("expected input that can be read, got: " + firstLine(error) + "; try another", error);
    }

    /** A bundle that the memory does not hold. */
    static EdgefakeException ofBundle(OutOfMemoryError error) {
        return new ModelFileException("expected a bundle that fits into memory, got: " + firstLine(error)
                + "; free some, and start the job again", error);
    }

    /** Whether it says nothing of the input or the app's files, such as a stack that is full: a fault of the program. */
    static boolean isFault(Throwable error) {
        return error instanceof Error && !(error instanceof OutOfMemoryError) && !(error instanceof LinkageError);
    }

    /** SecurityException, or the system's EACCES underneath. */
    private static boolean denied(Throwable error) {
        for (Throwable each = error; each != null; each = each.getCause()) {
            if (each instanceof SecurityException || String.valueOf(each.getMessage()).contains("EACCES")) {
                return true;
            }
        }
        return false;
    }

    private static String firstLine(Throwable error) {
        String text = error.getMessage() == null ? "" : error.getMessage().trim();
        if (text.isEmpty()) {
            return error.getClass().getSimpleName();
        }
        String line = text.split("\n", 2)[0];
        return line.length() > 200 ? line.substring(0, 200) : line;
    }
}
