package dev.edgefake.jvm;

import static dev.edgefake.core.TestData.list;
import static dev.edgefake.core.TestData.number;
import static dev.edgefake.core.TestData.numbers;
import static dev.edgefake.core.TestData.object;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.edgefake.core.Box;
import dev.edgefake.core.CancelledException;
import dev.edgefake.core.Detector;
import dev.edgefake.core.FaceFrame;
import dev.edgefake.core.FaceSettings;
import dev.edgefake.core.FaceTrack;
import dev.edgefake.core.Frame;
import dev.edgefake.core.Interpreter;
import dev.edgefake.core.Layout;
import dev.edgefake.core.Metadata;
import dev.edgefake.core.ModelFileException;
import dev.edgefake.core.Result;
import dev.edgefake.core.Tensor;
import dev.edgefake.core.TestData;
import dev.edgefake.core.VideoSettings;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Frames of clips through the whole of the Java pipeline with the real networks, against the Python runtime. */
class RealInferenceTest {
    /** How far scores may lie apart, and boxes in pixels. */
    private static final double CLOSE = 1e-3;

    private static Path folder;
    private static Map<String, Object> record;
    private static Detector detector;

    @BeforeAll
    static void open() {
        String bridge = System.getProperty("edgefake.bridge");
        String clips = System.getProperty("edgefake.clips");
        assumeTrue(bridge != null && clips != null, "needs -Dedgefake.bridge and -Dedgefake.clips");
        Path library = Paths.get(System.getProperty("edgefake.onnxruntime"));
        String version = OrtInterpreter.loadLibraries(Paths.get(bridge), library);
        System.out.println("ONNX Runtime " + version + " on " + System.getProperty("os.arch") + ", Java "
                + System.getProperty("java.version"));
        folder = Paths.get(clips);
        record = TestData.json(folder.resolve("clips.json"));
        detector = openDetector();
    }

    @AfterAll
    static void close() {
        if (detector != null) {
            detector.close();
        }
    }

    private static Path classifier() {
        return Paths.get((String) record.get("model"));
    }

    private static Interpreter mtcnn(String name) {
        return new OrtInterpreter(TestData.file(TestData.root().resolve("models/mtcnn/" + name + ".onnx")), 1);
    }

    private static Detector openDetector() {
        byte[] model = TestData.file(classifier());
        return Detector.of(
                Metadata.ofModel(model),
                new OrtInterpreter(model, 1),
                Layout.NCHW,
                mtcnn("pnet"),
                mtcnn("rnet"),
                mtcnn("onet"),
                FaceSettings.standard(Layout.NCHW),
                VideoSettings.standard());
    }

    private static List<Frame> frames(Map<String, Object> clip) {
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

    private static Map<String, Object> clip(String name) {
        for (Object each : list(record.get("clips"))) {
            if (name.equals(object(each).get("name"))) {
                return object(each);
            }
        }
        assumeTrue(false, "needs " + name + " among the clips");
        throw new AssertionError();
    }

    private static Result judge(Detector detector, List<Frame> frames, double[] timesS) {
        Detector.Run run = detector.begin();
        for (int i = 0; i < frames.size(); i++) {
            run.add(frames.get(i), timesS[i]);
        }
        return run.finish();
    }

    @Test
    void clipsAsThePythonRuntimeJudgesThem() {
        System.out.printf("%-14s %8s %-18s %-35s %-35s %s%n", "clip", "time", "P(fake)", "box", "", "largest");
        System.out.printf("%-14s %8s %-9s%-9s %-35s %-35s %s%n", "", "", "Java", "Python", "Java", "Python", "difference");
        for (Object each : list(record.get("clips"))) {
            Map<String, Object> clip = object(each);
            Result result = judge(detector, frames(clip), numbers(clip.get("times_s")));
            List<Object> tracks = list(clip.get("tracks"));
            assertEquals(tracks.size(), result.faces.size());
            for (int t = 0; t < tracks.size(); t++) {
                compare(clip, object(tracks.get(t)), result.faces.get(t));
            }
            assertEquals(clip.get("verdict"), result.verdict.label);
            assertEquals(list(clip.get("times_s")).size(), result.framesScored);
            if (clip.get("score") != null) {
                assertEquals(number(clip.get("score")), result.score, CLOSE);
            }
            System.out.printf(
                    Locale.ROOT,
                    "%-14s %8s %-9s%-9s %s%n",
                    clip.get("name"),
                    "all",
                    shown(result.score),
                    shown((Double) clip.get("score")),
                    result.verdict.label);
        }
    }

    private static String shown(Double score) {
        return score == null ? "-" : String.format(Locale.ROOT, "%.6f", score);
    }

    private static void compare(Map<String, Object> clip, Map<String, Object> expected, FaceTrack track) {
        assertEquals(expected.get("thin"), track.thin);
        assertEquals(number(expected.get("score")), track.score, CLOSE);
        List<Object> frames = list(expected.get("frames"));
        assertEquals(frames.size(), track.frames.size());
        for (int i = 0; i < frames.size(); i++) {
            Map<String, Object> golden = object(frames.get(i));
            FaceFrame found = track.frames.get(i);
            double[] box = numbers(golden.get("box"));
            double[] ours = edges(found.face.box);
            double largest = 0;
            for (int edge = 0; edge < 4; edge++) {
                largest = Math.max(largest, Math.abs(box[edge] - ours[edge]));
            }
            System.out.printf(
                    Locale.ROOT,
                    "%-14s %7.3fs %-9s%-9s %-35s %-35s %.1e%n",
                    clip.get("name"),
                    found.timeS,
                    shown(found.score),
                    shown((Double) golden.get("score")),
                    shown(ours),
                    shown(box),
                    largest);
            assertTrue(largest <= CLOSE, "boxes lie apart by " + largest);
            assertEquals(number(golden.get("score")), found.score, CLOSE);
            assertEquals(number(golden.get("detection")), found.face.score, CLOSE);
            assertEquals(number(golden.get("sharpness")), found.sharpness, 1e-5);
            assertEquals(number(golden.get("turn")), found.turn, CLOSE);
            assertEquals(number(golden.get("time_s")), found.timeS, 1e-9);
            assertEquals(golden.get("judged"), found.judged);
        }
    }

    private static double[] edges(Box box) {
        return new double[] {box.x0, box.y0, box.x1, box.y1};
    }

    private static String shown(double[] box) {
        return String.format(Locale.ROOT, "%.2f %.2f %.2f %.2f", box[0], box[1], box[2], box[3]);
    }

    /** The same frame as a camera may give it: turned, mirrored, with another value a pixel, and padded rows. */
    private static Frame asCameraGivesIt(Frame frame, int degrees, boolean mirrored) {
        dev.edgefake.core.Image turned =
                (mirrored ? frame.mirrored() : frame).rotated(-degrees).toImage();
        int stride = 4 * turned.width + 13;
        ByteBuffer bytes = ByteBuffer.allocateDirect(5 + stride * turned.height);
        new Random(3).ints(bytes.capacity()).forEach(value -> bytes.put((byte) value));
        byte[] rgb = turned.rgb();
        for (int i = 0; i < rgb.length; i++) {
            int pixel = i / 3;
            bytes.put(5 + pixel / turned.width * stride + pixel % turned.width * 4 + i % 3, rgb[i]);
        }
        bytes.position(5);
        Frame camera = Frame.packed(bytes, turned.width, turned.height, 4, stride).rotated(degrees);
        return mirrored ? camera.mirrored() : camera;
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 90, 180, 270})
    void turnedMirroredAndPaddedFramesAreTheSame(int degrees) {
        Frame frame = TestData.sample("astronaut.png");
        Result expected = detector.detect(frame);
        assertEquals(1, expected.faces.size());
        for (boolean mirrored : new boolean[] {false, true}) {
            Result result = detector.detect(asCameraGivesIt(frame, degrees, mirrored));
            assertEquals(expected.score, result.score);
            Box box = result.faces.get(0).frames.get(0).face.box;
            assertTrue(Arrays.equals(
                    edges(expected.faces.get(0).frames.get(0).face.box), edges(box)));
        }
    }

    @Test
    void aPictureOnItsSideIsAnotherPicture() {
        Frame frame = TestData.sample("astronaut.png");
        Result expected = detector.detect(frame);
        Result mirrored = detector.detect(frame.mirrored());
        Box box = mirrored.faces.get(0).frames.get(0).face.box;
        assertEquals(512 - expected.faces.get(0).frames.get(0).face.box.x1, box.x0, 8);
        assertTrue(Math.abs(expected.score - detector.detect(frame.rotated(180)).faces.stream()
                        .mapToDouble(track -> track.score).findFirst().orElse(-1)) > 1e-6);
    }

    @Test
    void runsAtOnceGiveTheSame() throws InterruptedException {
        Map<String, Object> clip = clip("real.mp4");
        List<Frame> frames = frames(clip);
        double[] timesS = numbers(clip.get("times_s"));
        double expected = judge(detector, frames, timesS).score;
        List<Double> scores = Collections.synchronizedList(new ArrayList<>());
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            threads.add(new Thread(() -> scores.add(judge(detector, frames, timesS).score)));
            threads.get(i).start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertEquals(Collections.nCopies(3, expected), scores);
    }

    @Test
    void closedInTheMiddleOfARun() throws InterruptedException {
        Detector own = openDetector();
        Frame frame = TestData.sample("astronaut.png");
        CountDownLatch runs = new CountDownLatch(2);
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        Thread thread = new Thread(() -> {
            Detector.Run run = own.begin();
            try {
                for (int i = 0; ; i++) {
                    run.add(frame, i);
                    runs.countDown();
                }
            } catch (RuntimeException error) {
                thrown.set(error);
            }
        });
        thread.start();
        runs.await();
        own.close();
        thread.join(30_000);
        assertSame(CancelledException.class, thrown.get().getClass());
        own.close();
    }

    @Test
    void corruptNetworks() {
        byte[] model = TestData.file(classifier());
        Random random = new Random(4);
        for (byte[] bytes : new byte[][] {{}, "no network".getBytes(), Arrays.copyOf(model, model.length / 2)}) {
            String message = assertThrows(ModelFileException.class, () -> new OrtInterpreter(bytes, 1))
                    .getMessage();
            assertTrue(!message.isEmpty() && !message.contains("\n"), message);
        }
        for (int i = 0; i < 20; i++) { // a damaged file is refused, or runs to numbers; it does not end the process
            byte[] damaged = model.clone();
            for (int n = 0; n < 20; n++) {
                damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(256);
            }
            try (Interpreter network = new OrtInterpreter(damaged, 1)) {
                int size = detector.metadata().inputSize;
                network.run(new Tensor(new float[3 * size * size], 1, 3, size, size), "logits");
            } catch (ModelFileException expected) {
                // the one thing that may be thrown
            }
        }
    }

    @Test
    void questionsThatANetworkCannotAnswer() {
        Interpreter network = mtcnn("rnet");
        Tensor image = new Tensor(new float[3 * 24 * 24], 1, 3, 24, 24);
        assertEquals(2, network.run(image, "boxes", "probability").length);
        assertThrows(ModelFileException.class, () -> network.run(image, "logits"));
        assertThrows(ModelFileException.class, () -> network.run(image));
        assertThrows(ModelFileException.class, () -> network.run(image, new String[9]));
        assertThrows(
                ModelFileException.class, () -> network.run(new Tensor(new float[3 * 24 * 24], 1, 24, 24, 3), "boxes"));
        assertThrows(ModelFileException.class, () -> network.run(new Tensor(new float[3], 3), "boxes"));
        network.close();
        network.close();
        assertThrows(ModelFileException.class, () -> network.run(image, "boxes"));
    }
}
