package org.tensorflow.lite;

public interface InterpreterApi extends AutoCloseable {
    void runForMultipleInputsOutputs(Object[] inputs, java.util.Map<Integer, Object> outputs);

    void allocateTensors();

    void resizeInput(int idx, int[] dims);

    int getInputTensorCount();

    Tensor getInputTensor(int inputIndex);

    String[] getSignatureKeys();

    Tensor getOutputTensorFromSignature(String outputName, String signatureKey);

    @Override
    void close();

    class Options {
        public Options() {
            throw new UnsupportedOperationException();
        }

        public Options setNumThreads(int numThreads) {
            throw new UnsupportedOperationException();
        }
    }
}
