package dev.edgefake.core;

/** An interpreter with its name: one thread at a time, and errors that say which network it was. */
final class Network {
    private final String name;
    private final Interpreter interpreter;

    Network(String name, Interpreter interpreter) {
        this.name = name;
        this.interpreter = interpreter;
    }

    synchronized Tensor[] run(Tensor image, String... outputs) {
        Tensor[] found;
        try {
            found = interpreter.run(image, outputs);
        } catch (EdgefakeException error) {
            throw error;
        } catch (RuntimeException error) {
            throw new ModelFileException(name + ": expected a network that runs, got: " + firstLine(error), error);
        }
        if (found == null || found.length != outputs.length) {
            throw new ModelFileException(name + ": expected " + outputs.length + " outputs, got "
                    + (found == null ? "none" : found.length + "") + "; export it again");
        }
        return found;
    }

    /** Refuses an output of another shape. */
    void check(Tensor output, int... shape) {
        if (output == null || !output.has(shape)) {
            throw new ModelFileException(name + ": expected an output of the shape "
                    + java.util.Arrays.toString(shape) + ", got " + output + "; export it again");
        }
    }

    /** What somebody else's error says, short: its first line, or its type where it says nothing. */
    static String firstLine(Throwable error) {
        String text = error.getMessage() == null ? "" : error.getMessage().trim();
        if (text.isEmpty()) {
            return error.getClass().getSimpleName();
        }
        int end = text.indexOf('\n');
        text = end < 0 ? text : text.substring(0, end);
        return text.length() > 200 ? text.substring(0, 200) : text;
    }
}
