package dev.edgefake.jvm;

import dev.edgefake.core.Interpreter;
import dev.edgefake.core.ModelFileException;
import dev.edgefake.core.Tensor;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** A TFLite file in LiteRT, in a process of its own: scripts/serve_litert.py says how they talk. */
final class LiteRtProcess implements Interpreter {
    private final Process process;
    private final DataInputStream in;
    private final DataOutputStream out;

    LiteRtProcess(String python, Path script, Path model) {
        try {
            process = new ProcessBuilder(python, script.toString(), model.toString())
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
        } catch (IOException error) {
            throw new ModelFileException("expected " + python + " to start, got: " + error.getMessage(), error);
        }
        in = new DataInputStream(new BufferedInputStream(process.getInputStream()));
        out = new DataOutputStream(new BufferedOutputStream(process.getOutputStream()));
    }

    @Override
    public Tensor[] run(Tensor image, String... outputs) {
        try {
            write(image);
            out.writeInt(outputs.length);
            for (String name : outputs) {
                byte[] bytes = name.getBytes(StandardCharsets.UTF_8);
                out.writeInt(bytes.length);
                out.write(bytes);
            }
            out.flush();
            if (in.readInt() != 0) {
                byte[] line = new byte[in.readInt()];
                in.readFully(line);
                throw new ModelFileException(new String(line, StandardCharsets.UTF_8));
            }
            Tensor[] found = new Tensor[outputs.length];
            for (int i = 0; i < found.length; i++) {
                found[i] = read();
            }
            return found;
        } catch (IOException error) {
            throw new ModelFileException("expected LiteRT's process to answer, got: " + error.getMessage(), error);
        }
    }

    private void write(Tensor tensor) throws IOException {
        int[] shape = tensor.shape();
        out.writeInt(shape.length);
        for (int size : shape) {
            out.writeInt(size);
        }
        ByteBuffer bytes = ByteBuffer.allocate(4 * tensor.data.length);
        bytes.asFloatBuffer().put(tensor.data);
        out.write(bytes.array());
    }

    private Tensor read() throws IOException {
        int[] shape = new int[in.readInt()];
        int count = 1;
        for (int axis = 0; axis < shape.length; axis++) {
            shape[axis] = in.readInt();
            count *= shape[axis];
        }
        byte[] bytes = new byte[4 * count];
        in.readFully(bytes);
        float[] values = new float[count];
        ByteBuffer.wrap(bytes).asFloatBuffer().get(values);
        return new Tensor(values, shape);
    }

    @Override
    public void close() {
        process.destroy();
    }
}
