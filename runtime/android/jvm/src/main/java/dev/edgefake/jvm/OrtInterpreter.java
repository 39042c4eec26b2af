package dev.edgefake.jvm;

import dev.edgefake.core.Interpreter;
import dev.edgefake.core.ModelFileException;
import dev.edgefake.core.Tensor;
import java.nio.file.Path;

/** An ONNX file in ONNX Runtime, through its C API: what runs the networks on the JVM. Not thread-safe. */
public final class OrtInterpreter implements Interpreter {
    private long handle;

    /**
     * Opens a model for the CPU.
     *
     * @param model the bytes of an ONNX file.
     * @param threads of one operator; 0 for one per core.
     * @throws ModelFileException ONNX Runtime cannot load it.
     */
    public OrtInterpreter(byte[] model, int threads) {
        handle = open(model, threads);
    }

    /**
     * Loads the bridge and ONNX Runtime, once a process.
     *
     * @param bridge libedgefake_bridge.so, which scripts/test_android builds.
     * @param onnxruntime ONNX Runtime's own library, such as libonnxruntime.so.1.32.0 of its wheel.
     * @return ONNX Runtime's version.
     * @throws ModelFileException there is no such library.
     */
    @SuppressWarnings("restricted") // Java 24 and newer warn of native libraries
    public static String loadLibraries(Path bridge, Path onnxruntime) {
        try {
            System.load(bridge.toAbsolutePath().toString());
        } catch (UnsatisfiedLinkError error) {
            throw new ModelFileException("expected the bridge at " + bridge + ", got: " + error.getMessage(), error);
        }
        return load(onnxruntime.toAbsolutePath().toString());
    }

    @Override
    public Tensor[] run(Tensor image, String... outputs) {
        if (handle == 0) {
            throw new ModelFileException("expected an open network, got one that was closed");
        }
        int[] sizes = image.shape();
        long[] shape = new long[sizes.length];
        for (int i = 0; i < sizes.length; i++) {
            shape[i] = sizes[i];
        }
        Object[] found = run(handle, image.data, shape, outputs);
        Tensor[] tensors = new Tensor[outputs.length];
        for (int i = 0; i < tensors.length; i++) {
            long[] axes = (long[]) found[2 * i + 1];
            int[] of = new int[axes.length];
            for (int axis = 0; axis < of.length; axis++) {
                of[axis] = (int) axes[axis];
            }
            tensors[i] = new Tensor((float[]) found[2 * i], of);
        }
        return tensors;
    }

    @Override
    public void close() {
        if (handle != 0) {
            close(handle);
            handle = 0;
        }
    }

    private static native String load(String library);

    private static native long open(byte[] model, int threads);

    private static native Object[] run(long handle, float[] image, long[] shape, String[] outputs);

    private static native void close(long handle);
}
