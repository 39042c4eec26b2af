package dev.edgefake.core;

import java.util.List;

/** Scores face crops with an exported model. */
final class Classifier {
    /** Crops that run at once; bounds memory on crowded frames. */
    static final int BATCH = 16;

    final Metadata metadata;
    private final Network network;
    private final Layout layout;

    Classifier(Metadata metadata, Interpreter interpreter, Layout layout) {
        this.metadata = metadata;
        this.network = new Network("classifier", interpreter);
        this.layout = layout;
    }

    /** Calibrated log-odds of fake of each crop (input size x input size). */
    double[] evidence(List<Image> crops, FaceDetector.Checkpoint checkpoint) {
        double[] evidence = new double[crops.size()];
        for (int begin = 0; begin < evidence.length; begin += BATCH) {
            checkpoint.pass();
            int end = Math.min(begin + BATCH, evidence.length);
            Tensor logits = network.run(Crops.normalize(crops, begin, end, metadata, layout), "logits")[0];
            network.check(logits, end - begin, 2);
            for (int i = begin; i < end; i++) {
                double real = logits.data[2 * (i - begin)];
                double fake = logits.data[2 * (i - begin) + 1];
                evidence[i] = metadata.calibration.scale * (fake - real) + metadata.calibration.shift;
                if (Double.isNaN(evidence[i]) || Double.isInfinite(evidence[i])) {
                    throw new ModelFileException(
                            "classifier: expected finite logits, got NaN or infinity; train it again");
                }
            }
        }
        return evidence;
    }
}
