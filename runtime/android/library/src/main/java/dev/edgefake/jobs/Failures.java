package dev.edgefake.jobs;

import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.InputException;

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
        return new InputException("expected input that can be read, got: " + firstLine(error), error);
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
