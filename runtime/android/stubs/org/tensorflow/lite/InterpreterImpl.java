package org.tensorflow.lite;

class InterpreterImpl implements InterpreterApi {
    @Override
    public void runForMultipleInputsOutputs(Object[] inputs, java.util.Map<Integer, Object> outputs) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void allocateTensors() {
        throw new UnsupportedOperationException();
    }

    @Override
    public void resizeInput(int idx, int[] dims) {
        throw new UnsupportedOperationException();
    }

    @Override
    public int getInputTensorCount() {
        throw new UnsupportedOperationException();
    }

    @Override
    public Tensor getInputTensor(int inputIndex) {
        throw new UnsupportedOperationException();
    }

    @Override
    public String[] getSignatureKeys() {
        throw new UnsupportedOperationException();
    }

    @Override
    public Tensor getOutputTensorFromSignature(String outputName, String signatureKey) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {
        throw new UnsupportedOperationException();
    }

    static class Options extends InterpreterApi.Options {}
}
