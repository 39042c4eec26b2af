package org.tensorflow.lite;

import java.nio.ByteBuffer;

/** LiteRT's, over {@link InterpreterImpl}. */
public final class Interpreter extends InterpreterImpl implements InterpreterApi {
    /** LiteRT's. */
    public static class Options extends InterpreterImpl.Options {
        @Override
        public Options setNumThreads(int numThreads) {
            super.setNumThreads(numThreads);
            return this;
        }
    }

    /** @param options are not looked at: the process takes one thread. */
    public Interpreter(ByteBuffer byteBuffer, Options options) {
        super(byteBuffer);
    }
}
