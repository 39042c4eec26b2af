package dev.edgefake.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Links the faces of scored frames into tracks: greedily, the nearest pair of track and face first.
 *
 * <p>Scored frames can lie a second apart, so boxes of one face need not overlap: nearness of centres in units of the
 * face's size decides, not intersection over union.
 */
final class Tracker {
    private final VideoSettings settings;
    private final List<Open> tracks = new ArrayList<>();
    private int sample;

    Tracker(VideoSettings settings) {
        this.settings = settings;
    }

    /** A track that may still grow. */
    private static final class Open {
        final List<FaceFrame> frames = new ArrayList<>();
        int lastSample;

        Box box() {
            return frames.get(frames.size() - 1).face.box;
        }
    }

    private static final class Pair {
        final double distance;
        final int track;
        final int face;

        Pair(double distance, int track, int face) {
            this.distance = distance;
            this.track = track;
            this.face = face;
        }
    }

    /** Frames of every track, in order of appearance. */
    List<List<FaceFrame>> tracks() {
        List<List<FaceFrame>> found = new ArrayList<>();
        for (Open track : tracks) {
            found.add(track.frames);
        }
        return found;
    }

    /** Frames that were added. */
    int samples() {
        return sample;
    }

    /** Links the faces of the next scored frame. */
    void add(List<FaceFrame> faces) {
        sample++;
        List<Open> alive = new ArrayList<>();
        for (Open track : tracks) {
            if (sample - track.lastSample <= settings.maxGap) {
                alive.add(track);
            }
        }
        Open[] chosen = new Open[faces.size()];
        boolean[] taken = new boolean[alive.size()];
        for (Pair pair : pairs(alive, faces)) {
            if (pair.distance <= settings.maxDistance && chosen[pair.face] == null && !taken[pair.track]) {
                chosen[pair.face] = alive.get(pair.track);
                taken[pair.track] = true;
            }
        }
        for (int i = 0; i < chosen.length; i++) {
            if (chosen[i] == null) {
                chosen[i] = new Open();
                tracks.add(chosen[i]);
            }
            chosen[i].frames.add(faces.get(i));
            chosen[i].lastSample = sample;
        }
    }

    /** By distance; a stable sort, so that of equal ones the earlier track, then the earlier face comes first. */
    private List<Pair> pairs(List<Open> alive, List<FaceFrame> faces) {
        List<Pair> pairs = new ArrayList<>();
        for (int t = 0; t < alive.size(); t++) {
            for (int f = 0; f < faces.size(); f++) {
                pairs.add(new Pair(distance(alive.get(t).box(), faces.get(f).face.box), t, f));
            }
        }
        Collections.sort(pairs, (a, b) -> Double.compare(a.distance, b.distance));
        return pairs;
    }

    /** Distance of the centres over the mean side; infinite when the sizes do not fit. */
    double distance(Box a, Box b) {
        double sideA = Math.sqrt(Math.max((a.x1 - a.x0) * (a.y1 - a.y0), 1e-6));
        double sideB = Math.sqrt(Math.max((b.x1 - b.x0) * (b.y1 - b.y0), 1e-6));
        if (Math.max(sideA, sideB) > settings.maxGrowth * Math.min(sideA, sideB)) {
            return Double.POSITIVE_INFINITY;
        }
        double apart = Math.hypot((a.x0 + a.x1 - b.x0 - b.x1) / 2, (a.y0 + a.y1 - b.y0 - b.y1) / 2);
        return apart / ((sideA + sideB) / 2);
    }
}
