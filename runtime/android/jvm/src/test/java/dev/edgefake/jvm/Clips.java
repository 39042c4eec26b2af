package dev.edgefake.jvm;

import static dev.edgefake.core.TestData.list;
import static dev.edgefake.core.TestData.number;
import static dev.edgefake.core.TestData.numbers;
import static dev.edgefake.core.TestData.object;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgefake.core.Box;
import dev.edgefake.core.Detector;
import dev.edgefake.core.FaceFrame;
import dev.edgefake.core.FaceTrack;
import dev.edgefake.core.Frame;
import dev.edgefake.core.Result;
import dev.edgefake.core.TestData;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Frames of clips, and what the Python runtime said of them: what scripts/golden_android.py --clips wrote. */
final class Clips {
    /** How far scores may lie apart, and boxes in pixels. */
    private static final double CLOSE = 1e-3;

    final Path folder;
    private final Map<String, Object> record;

    Clips(Path folder) {
        this.folder = folder;
        this.record = TestData.json(folder.resolve("clips.json"));
    }

    /** A part of the record. */
    Object part(String name) {
        return record.get(name);
    }

    /** Scored frames of a clip. */
    List<Frame> frames(Map<String, Object> clip) {
        int width = (int) number(clip.get("width"));
        int height = (int) number(clip.get("height"));
        byte[] bytes = TestData.file(folder.resolve(clip.get("name") + ".rgb"));
        int size = 3 * width * height;
        List<Frame> frames = new ArrayList<>();
        for (int at = 0; at < bytes.length; at += size) {
            frames.add(Frame.packed(ByteBuffer.wrap(bytes, at, size), width, height, 3, 3L * width));
        }
        return frames;
    }

    /** A clip's verdict. */
    Result judge(Detector detector, Map<String, Object> clip) {
        double[] timesS = numbers(clip.get("times_s"));
        List<Frame> frames = frames(clip);
        Detector.Run run = detector.begin();
        for (int i = 0; i < timesS.length; i++) {
            run.add(frames.get(i), timesS[i]);
        }
        return run.finish();
    }

    /** Judges every clip of a part of the record, and compares and prints boxes, scores and verdicts. */
    void compare(Detector detector, String part) {
        System.out.printf("%-14s %8s %-18s %-71s %s%n", "clip", "time", "P(fake)", "box", "largest");
        System.out.printf("%-14s %8s %-9s%-9s %-35s %-35s %s%n", "", "", "Java", "Python", "Java", "Python", "difference");
        for (Object each : list(record.get(part))) {
            Map<String, Object> clip = object(each);
            Result result = judge(detector, clip);
            List<Object> tracks = list(clip.get("tracks"));
            assertEquals(tracks.size(), result.faces.size());
            for (int t = 0; t < tracks.size(); t++) {
                compare(clip, object(tracks.get(t)), result.faces.get(t));
            }
            assertEquals(clip.get("verdict"), result.verdict.label);
            assertEquals(list(clip.get("times_s")).size(), result.framesScored);
            assertEquals(clip.get("score") == null, result.score == null);
            if (result.score != null) {
                assertEquals(number(clip.get("score")), result.score, CLOSE);
            }
            String scores = String.format("%-9s%-9s", shown(result.score), shown((Double) clip.get("score")));
            System.out.printf("%-14s %8s %s %s%n", clip.get("name"), "all", scores, result.verdict.label);
        }
    }

    private static void compare(Map<String, Object> clip, Map<String, Object> expected, FaceTrack track) {
        assertEquals(expected.get("thin"), track.thin);
        assertEquals(number(expected.get("score")), track.score, CLOSE);
        List<Object> frames = list(expected.get("frames"));
        assertEquals(frames.size(), track.frames.size());
        for (int i = 0; i < frames.size(); i++) {
            compareFrame((String) clip.get("name"), object(frames.get(i)), track.frames.get(i));
        }
    }

    private static void compareFrame(String clip, Map<String, Object> golden, FaceFrame found) {
        double[] box = numbers(golden.get("box"));
        double[] ours = edges(found.face.box);
        double largest = 0;
        for (int edge = 0; edge < 4; edge++) {
            largest = Math.max(largest, Math.abs(box[edge] - ours[edge]));
        }
        String scores = String.format("%-9s%-9s", shown(found.score), shown((Double) golden.get("score")));
        String boxes = String.format(Locale.ROOT, "%-35s %-35s %.1e", shown(ours), shown(box), largest);
        System.out.printf(Locale.ROOT, "%-14s %7.3fs %s %s%n", clip, found.timeS, scores, boxes);
        assertTrue(largest <= CLOSE, "boxes lie apart by " + largest);
        assertEquals(number(golden.get("score")), found.score, CLOSE);
        assertEquals(number(golden.get("detection")), found.face.score, CLOSE);
        assertEquals(number(golden.get("sharpness")), found.sharpness, 1e-5);
        assertEquals(number(golden.get("turn")), found.turn, CLOSE);
        assertEquals(number(golden.get("time_s")), found.timeS, 1e-9);
        assertEquals(golden.get("judged"), found.judged);
    }

    static double[] edges(Box box) {
        return new double[] {box.x0, box.y0, box.x1, box.y1};
    }

    private static String shown(Double score) {
        return score == null ? "-" : String.format(Locale.ROOT, "%.6f", score);
    }

    private static String shown(double[] box) {
        return String.format(Locale.ROOT, "%.2f %.2f %.2f %.2f", box[0], box[1], box[2], box[3]);
    }
}
