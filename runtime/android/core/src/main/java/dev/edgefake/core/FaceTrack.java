package dev.edgefake.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** One face over time. Immutable. */
public final class FaceTrack {
    /** Number of the track, from 0 in order of appearance. */
    public final int track;

    /** P(fake) of the track, from the log-odds of its judged frames; of all, where none is judged. */
    public final double score;

    /** Too few judged frames for a verdict; beside other tracks it does not count. */
    public final boolean thin;

    /** Its scored frames in order of time, one or more. */
    public final List<FaceFrame> frames;

    private FaceTrack(int track, double score, boolean thin, List<FaceFrame> frames) {
        this.track = track;
        this.score = score;
        this.thin = thin;
        this.frames = frames;
    }

    /** A track from its frames; fewer than `least` judged ones are thin evidence. */
    static FaceTrack of(int number, List<FaceFrame> frames, int least, double trim) {
        List<FaceFrame> judged = new ArrayList<>();
        for (FaceFrame frame : frames) {
            if (frame.judged) {
                judged.add(frame);
            }
        }
        List<FaceFrame> counted = judged.isEmpty() ? frames : judged;
        double[] evidence = new double[counted.size()];
        for (int i = 0; i < evidence.length; i++) {
            evidence[i] = counted.get(i).evidence;
        }
        double score = LogOdds.probability(LogOdds.trimmedMean(evidence, trim));
        return new FaceTrack(
                number, score, judged.size() < least, Collections.unmodifiableList(new ArrayList<>(frames)));
    }

    /** The track that decides: the highest score among those with evidence enough, or among all where none has. */
    static FaceTrack worst(List<FaceTrack> tracks) {
        FaceTrack worst = null;
        for (FaceTrack track : tracks) {
            boolean sounder = worst != null && worst.thin && !track.thin;
            boolean alike = worst == null || worst.thin == track.thin;
            if (sounder || (alike && (worst == null || track.score > worst.score))) {
                worst = track;
            }
        }
        return worst;
    }
}
