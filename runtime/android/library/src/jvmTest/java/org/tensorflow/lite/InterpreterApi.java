package org.tensorflow.lite;

import java.util.Map;

/** LiteRT's, as far as the library calls it. */
public interface InterpreterApi extends AutoCloseable {
    void runForMultipleInputsOutputs(Object[] inputs, Map<Integer, Object> outputs);

    void allocateTensors();

    void resizeInput(int idx, int[] dims);

    int getInputTensorCount();

    Tensor getInputTensor(int inputIndex);

    String[] getSignatureKeys();

    Tensor getOutputTensorFromSignature(String outputName, String signatureKey);

    @Override
    void close();

    /** LiteRT's. */
    class Options {
        private int threads = -1;

        public Options setNumThreads(int numThreads) {
            threads = numThreads;
            return this;
        }

        public int getNumThreads() {
            return threads;
        }
    }
}
