package org.tensorflow.lite;

public final class Interpreter extends InterpreterImpl implements InterpreterApi {
    public Interpreter(java.nio.ByteBuffer byteBuffer, Options options) {
        throw new UnsupportedOperationException();
    }

    public static class Options extends InterpreterImpl.Options {
        public Options() {
            throw new UnsupportedOperationException();
        }

        @Override
        public Options setNumThreads(int numThreads) {
            throw new UnsupportedOperationException();
        }
    }
}
