package org.tensorflow.lite;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Map;

/**
 * LiteRT for the JVM, in the Java interface that it has on Android alone: the network runs in LiteRT's Python package,
 * in a process of its own (scripts/serve_litert.py says how they talk). What LiteRT refuses is refused here by the same
 * exceptions: other buffers than direct ones in native order, of another size than the tensor; a closed interpreter.
 */
class InterpreterImpl implements InterpreterApi {
    private static final String DESCRIBE = "import sys\n"
            + "from ai_edge_litert.interpreter import Interpreter\n"
            + "interpreter = Interpreter(sys.argv[1])\n"
            + "interpreter.allocate_tensors()\n"
            + "details = interpreter.get_input_details()\n"
            + "print(len(details), *interpreter.get_signature_list(), sep='\\n')\n"
            + "print(*details[0]['shape_signature'])\n"
            + "print(*details[0]['shape'])\n";

    /** LiteRT's. */
    static class Options extends InterpreterApi.Options {}

    private final Path file;
    private final Process process;
    private final DataInputStream in;
    private final DataOutputStream out;
    private final int inputs;
    private final String[] signatures;
    private final int[] declared;
    private int[] shape;
    private boolean allocated = true;
    private float[] question;
    private boolean closed;

    InterpreterImpl(ByteBuffer model) {
        if (!model.isDirect() || model.order() != ByteOrder.nativeOrder()) {
            throw new IllegalArgumentException("Model ByteBuffer should be a direct ByteBuffer using nativeOrder()");
        }
        try {
            byte[] bytes = new byte[model.remaining()];
            model.duplicate().get(bytes);
            file = Files.createTempFile("network", ".tflite");
            Files.write(file, bytes);
            String[] lines = describe();
            inputs = Integer.parseInt(lines[0]);
            signatures = Arrays.copyOfRange(lines, 1, lines.length - 2);
            declared = numbers(lines[lines.length - 2]);
            shape = numbers(lines[lines.length - 1]);
            String script = Paths.get(System.getProperty("edgefake.root"), "scripts", "serve_litert.py").toString();
            process = new ProcessBuilder(python(), script, file.toString())
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        in = new DataInputStream(new BufferedInputStream(process.getInputStream()));
        out = new DataOutputStream(new BufferedOutputStream(process.getOutputStream()));
    }

    private static String python() {
        return System.getProperty("edgefake.python");
    }

    private String[] describe() throws IOException {
        Process asked = new ProcessBuilder(python(), "-c", DESCRIBE, file.toString())
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        try (InputStream stream = asked.getInputStream()) {
            String text = new String(stream.readAllBytes(), StandardCharsets.UTF_8).trim();
            if (asked.waitFor() != 0) {
                Files.delete(file);
                throw new IllegalArgumentException("ByteBuffer is not a valid TensorFlow Lite model flatbuffer");
            }
            return text.split("\n");
        } catch (InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    private static int[] numbers(String line) {
        return Arrays.stream(line.trim().split(" ")).mapToInt(Integer::parseInt).toArray();
    }

    private void check() {
        if (closed) {
            throw new IllegalStateException("Internal error: The Interpreter has already been closed.");
        }
    }

    @Override
    public String[] getSignatureKeys() {
        check();
        return signatures.clone();
    }

    @Override
    public int getInputTensorCount() {
        check();
        return inputs;
    }

    @Override
    public Tensor getInputTensor(int index) {
        check();
        return new Values(shape, declared, null);
    }

    @Override
    public void resizeInput(int index, int[] dims) {
        check();
        for (int axis = 0; axis < dims.length; axis++) {
            // Of a fixed size, the network's own reshapes refuse another one when tensors are allocated.
            if (dims[axis] < 1 || (declared[axis] >= 0 && declared[axis] != dims[axis])) {
                throw new IllegalArgumentException("Attempting to resize to a dimension of " + dims[axis]);
            }
        }
        shape = dims.clone();
        allocated = false;
    }

    @Override
    public void allocateTensors() {
        check();
        allocated = true;
    }

    @Override
    public void runForMultipleInputsOutputs(Object[] given, Map<Integer, Object> outputs) {
        check();
        ByteBuffer bytes = (ByteBuffer) given[0];
        int count = Arrays.stream(shape).reduce(1, (a, b) -> a * b);
        if (bytes.capacity() != 4 * count) {
            throw new IllegalArgumentException("Cannot copy to a TensorFlowLite tensor (serving_default_image:0) with "
                    + 4 * count + " bytes from a Java Buffer with " + bytes.capacity() + " bytes.");
        }
        if (!bytes.isDirect() || bytes.order() != ByteOrder.nativeOrder()) {
            throw new IllegalArgumentException("expected a direct buffer in native order");
        }
        question = new float[count];
        bytes.duplicate().order(ByteOrder.nativeOrder()).asFloatBuffer().get(question);
    }

    @Override
    public Tensor getOutputTensorFromSignature(String name, String signature) {
        check();
        if (!allocated || !Arrays.asList(signatures).contains(signature)) {
            throw new IllegalArgumentException("no tensors, or no signature " + signature);
        }
        try {
            out.writeInt(shape.length);
            for (int size : shape) {
                out.writeInt(size);
            }
            for (float value : question) {
                out.writeFloat(value);
            }
            byte[] text = name.getBytes(StandardCharsets.UTF_8);
            out.writeInt(1);
            out.writeInt(text.length);
            out.write(text);
            out.flush();
            if (in.readInt() != 0) {
                throw new IllegalArgumentException(
                        new String(in.readNBytes(in.readInt()), StandardCharsets.UTF_8));
            }
            int[] sizes = new int[in.readInt()];
            int count = 1;
            for (int axis = 0; axis < sizes.length; axis++) {
                sizes[axis] = in.readInt();
                count *= sizes[axis];
            }
            float[] values = new float[count];
            for (int i = 0; i < count; i++) {
                values[i] = in.readFloat();
            }
            return new Values(sizes, sizes, values);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            process.destroy();
            file.toFile().delete();
        }
    }

    /** A tensor's shape, and an output's values. */
    private static final class Values implements Tensor {
        private final int[] shape;
        private final int[] declared;
        private final float[] values;

        Values(int[] shape, int[] declared, float[] values) {
            this.shape = shape.clone();
            this.declared = declared.clone();
            this.values = values;
        }

        @Override
        public DataType dataType() {
            return DataType.FLOAT32;
        }

        @Override
        public int numElements() {
            return Arrays.stream(shape).reduce(1, (a, b) -> a * b);
        }

        @Override
        public int[] shape() {
            return shape;
        }

        @Override
        public int[] shapeSignature() {
            return declared;
        }

        @Override
        public ByteBuffer asReadOnlyBuffer() {
            ByteBuffer bytes = ByteBuffer.allocateDirect(4 * values.length).order(ByteOrder.nativeOrder());
            bytes.asFloatBuffer().put(values);
            return bytes.asReadOnlyBuffer(); // big endian, as every new view is
        }
    }
}
