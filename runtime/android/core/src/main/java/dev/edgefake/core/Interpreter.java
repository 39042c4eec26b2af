package dev.edgefake.core;

/**
 * A network, open in whatever runs it. What uses an interpreter calls it from one thread at a time, though not always
 * from the same one.
 */
public interface Interpreter extends AutoCloseable {
    /**
     * Runs the network.
     *
     * @param image float32 input of the size and layout that the file asks for, with any number of pictures along its
     *     first axis (one or more); an implementation whose file takes one at a time runs them one after the other.
     *     P-Net's height and width change from call to call. It is not kept, and may be overwritten after the call.
     * @param outputs names of the wanted outputs, such as "boxes".
     * @return the outputs in the order of the names, float32, the pictures along the first axis.
     * @throws EdgefakeException the network cannot be run; anything else that is thrown reaches the caller as a
     *     {@link ModelFileException}.
     */
    Tensor[] run(Tensor image, String... outputs);

    /** Frees what the network holds. Called once, when nothing runs in it any more. */
    @Override
    void close();

    /** Opens networks, for a {@link Detector} that gets them as files. */
    interface Factory {
        /**
         * Opens a network.
         *
         * @param network which one.
         * @param model the bytes of its file.
         * @throws EdgefakeException the file cannot be run; anything else that is thrown reaches the caller as a
         *     {@link ModelFileException}.
         */
        Interpreter open(Network network, byte[] model);
    }

    /** The four networks of a detector. */
    enum Network {
        /** MTCNN's first stage: scans scaled pictures. */
        PNET,
        /** MTCNN's second stage: 24 x 24 crops. */
        RNET,
        /** MTCNN's third stage: 48 x 48 crops. */
        ONET,
        /** Crops of faces to the logits of real and fake. */
        CLASSIFIER
    }
}
