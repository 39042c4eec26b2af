package dev.edgefake.jvm;

import static dev.edgefake.core.TestData.list;
import static dev.edgefake.core.TestData.object;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.edgefake.core.Box;
import dev.edgefake.core.CancelledException;
import dev.edgefake.core.Detector;
import dev.edgefake.core.FaceSettings;
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
    private static Clips clips;
    private static Detector detector;

    @BeforeAll
    static void open() {
        String bridge = System.getProperty("edgefake.bridge");
        String folder = System.getProperty("edgefake.clips");
        assumeTrue(bridge != null && folder != null, "needs -Dedgefake.bridge and -Dedgefake.clips");
        Path library = Paths.get(System.getProperty("edgefake.onnxruntime"));
        String version = OrtInterpreter.loadLibraries(Paths.get(bridge), library);
        System.out.println("ONNX Runtime " + version + " on " + System.getProperty("os.arch") + ", Java "
                + System.getProperty("java.version"));
        clips = new Clips(Paths.get(folder));
        detector = openDetector();
    }

    @AfterAll
    static void close() {
        if (detector != null) {
            detector.close();
        }
    }

    private static Path classifier() {
        return Paths.get((String) clips.part("model"));
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

    private static Map<String, Object> clip(String name) {
        for (Object each : list(clips.part("clips"))) {
            if (name.equals(object(each).get("name"))) {
                return object(each);
            }
        }
        assumeTrue(false, "needs " + name + " among the clips");
        throw new AssertionError();
    }

    @Test
    void clipsAsThePythonRuntimeJudgesThem() {
        clips.compare(detector, "clips");
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
                    Clips.edges(expected.faces.get(0).frames.get(0).face.box), Clips.edges(box)));
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
        double expected = clips.judge(detector, clip).score;
        List<Double> scores = Collections.synchronizedList(new ArrayList<>());
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            threads.add(new Thread(() -> scores.add(clips.judge(detector, clip).score)));
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
