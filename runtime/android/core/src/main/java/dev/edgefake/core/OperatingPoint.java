package dev.edgefake.core;

/** Where real ends and fake begins. Immutable. */
public final class OperatingPoint {
    /** P(fake) from which the verdict is fake. */
    public final double threshold;

    /** First uncertain score. */
    public final double low;

    /** First score above the uncertain band. */
    public final double high;

    private OperatingPoint(double threshold, double low, double high) {
        this.threshold = threshold;
        this.low = low;
        this.high = high;
    }

    /** The model's own point. */
    public static OperatingPoint of(Metadata metadata) {
        return new OperatingPoint(metadata.threshold, metadata.uncertain.low, metadata.uncertain.high);
    }

    /**
     * Another threshold, with the model's band moved along in log-odds.
     *
     * @param threshold P(fake), 0 to 1.
     * @throws UsageException out of range.
     */
    public static OperatingPoint at(Metadata metadata, double threshold) {
        if (!(threshold >= 0 && threshold <= 1)) {
            throw new UsageException("threshold: expected 0 to 1, got " + threshold);
        }
        double move = LogOdds.of(threshold) - LogOdds.of(metadata.threshold);
        if (Double.isNaN(move) || Double.isInfinite(move)) {
            return new OperatingPoint(threshold, threshold, threshold);
        }
        return new OperatingPoint(
                threshold, moved(metadata.uncertain.low, metadata, threshold),
                moved(metadata.uncertain.high, metadata, threshold));
    }

    private static double moved(double edge, Metadata metadata, double threshold) {
        return LogOdds.probability(LogOdds.of(edge) - LogOdds.of(metadata.threshold) + LogOdds.of(threshold));
    }

    /**
     * The threshold at which at most a share of the real crops counts as fake, from the curve in the model's file.
     *
     * @param share of the real crops, above 0, at most 1.
     * @throws UsageException a share that the curve does not know, or a model without one.
     */
    public static OperatingPoint forFalsePositives(Metadata metadata, double share) {
        if (metadata.roc == null) {
            throw new UsageException("max_false_positives: expected a model with a stored ROC curve, got "
                    + metadata.name + " without; calibrate it and export it again");
        }
        return at(metadata, metadata.roc.threshold(share));
    }

    /**
     * The verdict on a score.
     *
     * @param score P(fake); null without a face.
     * @param thin whether the evidence is too thin for real or fake.
     */
    public Verdict verdict(Double score, boolean thin) {
        if (score == null) {
            return Verdict.NO_FACE;
        }
        if (thin || (low <= score && score < high)) {
            return Verdict.UNCERTAIN;
        }
        return score >= threshold ? Verdict.FAKE : Verdict.REAL;
    }
}
