package dev.edgefake.core;

import java.util.List;

/** The verdict on one picture or video. A score is no proof. Immutable. */
public final class Result {
    /** What it is. */
    public final Verdict verdict;

    /** P(fake) of the worst track with evidence enough, or of the worst where none has; null without a face. */
    public final Double score;

    /** Frames that were searched for faces. */
    public final int framesScored;

    /** Every face over time, in order of appearance. */
    public final List<FaceTrack> faces;

    Result(Verdict verdict, Double score, int framesScored, List<FaceTrack> faces) {
        this.verdict = verdict;
        this.score = score;
        this.framesScored = framesScored;
        this.faces = faces;
    }
}
