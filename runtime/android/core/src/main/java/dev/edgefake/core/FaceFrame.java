package dev.edgefake.core;

/** One face in one scored frame. Immutable. */
public final class FaceFrame {
    /** A report's largest turn of a head. */
    static final double MOST_TURN = 9;

    /** Time of the frame, seconds from the start. */
    public final double timeS;

    /** The face, with its box and the face detector's score. */
    public final Face face;

    /** P(fake). */
    public final double score;

    /** Of the crop, see {@link Quality#sharpness}. */
    public final double sharpness;

    /** Of the head, see {@link Quality#turn}; at most 9. */
    public final double turn;

    /** False where the face is below the model's floor of quality and does not count. */
    public final boolean judged;

    /** Calibrated log-odds of fake. */
    final double evidence;

    FaceFrame(double timeS, Face face, double evidence, Quality quality, boolean judged) {
        this.timeS = timeS;
        this.face = face;
        this.evidence = evidence;
        this.score = LogOdds.probability(evidence);
        this.sharpness = quality.sharpness;
        this.turn = Math.min(quality.turn, MOST_TURN);
        this.judged = judged;
    }
}
