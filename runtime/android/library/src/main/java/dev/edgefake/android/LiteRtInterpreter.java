package dev.edgefake.android;

import dev.edgefake.core.Interpreter;
import dev.edgefake.core.ModelFileException;
import dev.edgefake.core.Tensor;
import dev.edgefake.jobs.OneByOne;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Collections;
import org.tensorflow.lite.DataType;

/**
 * A TFLite file in LiteRT, on the CPU, with one input whose size follows what comes. Not thread-safe, as
 * {@link Interpreter} asks.
 */
public final class LiteRtInterpreter implements Interpreter {
    private final org.tensorflow.lite.Interpreter interpreter;
    private final String signature;
    private final boolean oneAtATime;
    private int[] shape;
    private ByteBuffer input = ByteBuffer.allocateDirect(0);
    private boolean closed;

    /**
     * Opens a model.
     *
     * @param model the bytes of a TFLite file with one signature; copied.
     * @param threads of one operator, 1 or more.
     * @throws ModelFileException LiteRT is not there for this processor, or cannot run the file.
     */
    public LiteRtInterpreter(byte[] model, int threads) {
        ByteBuffer direct = ByteBuffer.allocateDirect(model.length).order(ByteOrder.nativeOrder());
        direct.put(model);
        ((Buffer) direct).rewind(); // through Buffer, whose method every version of the class library has
        org.tensorflow.lite.Interpreter opened = null;
        try {
            opened = new org.tensorflow.lite.Interpreter(
                    direct, new org.tensorflow.lite.Interpreter.Options().setNumThreads(threads));
            String[] keys = opened.getSignatureKeys();
            if (keys.length != 1 || opened.getInputTensorCount() != 1) {
                throw new ModelFileException("expected a network with one signature and one input, got " + keys.length
                        + " and " + opened.getInputTensorCount() + "; export it again");
            }
            int[] declared = opened.getInputTensor(0).shapeSignature();
            interpreter = opened;
            signature = keys[0];
            oneAtATime = declared.length > 0 && declared[0] == 1;
            shape = opened.getInputTensor(0).shape();
        } catch (LinkageError error) { // no library for this processor, or classes that were stripped
            throw new ModelFileException("expected an app with LiteRT's library for this processor, got: "
                    + error.getMessage() + "; LiteRT is made for arm64-v8a and x86_64", error);
        } catch (IllegalArgumentException | IllegalStateException error) {
            close(opened);
            throw new ModelFileException("expected a network that this LiteRT can run, got: " + error.getMessage()
                    + "; 2 bits need com.google.ai.edge.litert:litert 2.1.2 or newer", error);
        } catch (ModelFileException error) {
            close(opened);
            throw error;
        }
    }

    /**
     * Opens a bundle's networks.
     *
     * @param threads of one operator, 1 or more.
     */
    public static Factory factory(int threads) {
        return (network, model) -> {
            try {
                return new LiteRtInterpreter(model, threads);
            } catch (ModelFileException error) {
                throw new ModelFileException(network + ": " + error.getMessage(), error);
            }
        };
    }

    @Override
    public Tensor[] run(Tensor image, String... outputs) {
        if (closed) {
            throw new ModelFileException("expected an open network, got one that was closed");
        }
        if (oneAtATime && image.shape().length > 0 && image.shape()[0] != 1) {
            return OneByOne.run(image, one -> runOnce(one, outputs));
        }
        return runOnce(image, outputs);
    }

    private Tensor[] runOnce(Tensor image, String... outputs) {
        resize(image.shape());
        interpreter.runForMultipleInputsOutputs(new Object[] {filled(image.data)}, Collections.emptyMap());
        Tensor[] found = new Tensor[outputs.length];
        for (int i = 0; i < found.length; i++) {
            found[i] = copy(interpreter.getOutputTensorFromSignature(outputs[i], signature), outputs[i]);
        }
        return found;
    }

    private void resize(int[] wanted) {
        if (Arrays.equals(wanted, shape)) {
            return;
        }
        shape = null; // where it fails, the next call resizes again
        interpreter.resizeInput(0, wanted);
        interpreter.allocateTensors();
        shape = wanted;
    }

    /** A direct buffer of exactly these values, as LiteRT takes it without a copy. */
    private ByteBuffer filled(float[] values) {
        int size = 4 * values.length;
        if (input.capacity() != size) {
            input = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder());
        }
        ((Buffer) input).rewind();
        input.asFloatBuffer().put(values);
        return input;
    }

    /** An output's values, which the next run overwrites. */
    private static Tensor copy(org.tensorflow.lite.Tensor output, String name) {
        if (output.dataType() != DataType.FLOAT32) {
            throw new ModelFileException(
                    "expected " + name + " as float32, got " + output.dataType() + "; export it again");
        }
        float[] values = new float[output.numElements()];
        output.asReadOnlyBuffer().order(ByteOrder.nativeOrder()).asFloatBuffer().get(values);
        return new Tensor(values, output.shape());
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            interpreter.close();
        }
    }

    private static void close(org.tensorflow.lite.Interpreter opened) {
        if (opened != null) {
            opened.close();
        }
    }
}
