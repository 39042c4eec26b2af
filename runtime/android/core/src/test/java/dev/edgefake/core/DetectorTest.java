package dev.edgefake.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Function;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * How a detector behaves around its networks: what they answer here is made up, so that each moment can be held and each
 * wrong answer given. {@code RealInferenceTest} runs the real ones.
 */
class DetectorTest {
    private static final Frame FRAME = Frame.rgb(new byte[120 * 120 * 3], 120, 120);

    /** One find in the middle of the frame, which every stage takes as it is. */
    private static class Made implements Interpreter {
        final String name;
        Function<Tensor, Tensor[]> answer;
        int runs;
        int closed;

        Made(String name, Function<Tensor, Tensor[]> answer) {
            this.name = name;
            this.answer = answer;
        }

        @Override
        public Tensor[] run(Tensor image, String... outputs) {
            assertEquals(0, closed, name + " runs after it was closed");
            runs++;
            return answer.apply(image);
        }

        @Override
        public void close() {
            closed++;
        }
    }

    private Made pnet;
    private Made rnet;
    private Made onet;
    private Made classifier;
    private Detector detector;

    @BeforeEach
    void open() {
        pnet = new Made("pnet", DetectorTest::grid);
        rnet = new Made("rnet", image -> row(image, 4, 0.9f));
        onet = new Made("onet", image -> {
            Tensor[] found = row(image, 4, 0.95f);
            float[] points = new float[10 * image.size(0)];
            Arrays.fill(points, 0.5f);
            for (int i = 0; i < points.length; i += 10) {
                points[i] = 0.3f;
                points[i + 1] = 0.7f;
            }
            return new Tensor[] {found[0], found[1], new Tensor(points, image.size(0), 10)};
        });
        classifier = new Made("classifier", image -> {
            float[] logits = new float[2 * image.size(0)];
            for (int i = 1; i < logits.length; i += 2) {
                logits[i] = 3;
            }
            return new Tensor[] {new Tensor(logits, image.size(0), 2)};
        });
        detector = Detector.of(
                TestData.metadata(),
                classifier,
                Layout.NCHW,
                pnet,
                rnet,
                onet,
                FaceSettings.standard(Layout.NCHW),
                VideoSettings.standard());
    }

    private static Tensor[] grid(Tensor image) {
        int rows = (image.size(2) - 10) / 2;
        int columns = (image.size(3) - 10) / 2;
        float[] probability = new float[rows * columns];
        probability[rows / 2 * columns + columns / 2] = 0.9f;
        return new Tensor[] {
            new Tensor(new float[4 * rows * columns], 1, 4, rows, columns), new Tensor(probability, 1, 1, rows, columns)
        };
    }

    private static Tensor[] row(Tensor image, int size, float score) {
        float[] scores = new float[image.size(0)];
        Arrays.fill(scores, score);
        return new Tensor[] {
            new Tensor(new float[size * scores.length], scores.length, size), new Tensor(scores, scores.length, 1)
        };
    }

    private List<Made> all() {
        return Arrays.asList(pnet, rnet, onet, classifier);
    }

    private void assertClosed(int times) {
        for (Made network : all()) {
            assertEquals(times, network.closed, network.name);
        }
    }

    @Test
    void framesBecomeAVerdict() {
        Detector.Run run = detector.begin();
        assertEquals(Verdict.NO_FACE, run.finish().verdict);
        assertNull(run.finish().score);
        assertEquals(1, run.add(FRAME, 0).size());
        assertEquals(1, run.finish().framesScored);
        run.add(FRAME, 1);
        Result result = run.finish();
        assertEquals(1, result.faces.size());
        assertEquals(2, result.faces.get(0).frames.size());
        assertEquals(LogOdds.probability(3 * 0.71 - 0.2), result.score, 1e-9);
        // The frame is black, so its face is below the floor of sharpness.
        assertTrue(result.faces.get(0).thin);
        assertEquals(Verdict.UNCERTAIN, result.verdict);
        assertThrows(UnsupportedOperationException.class, () -> result.faces.clear());
    }

    @Test
    void anotherOperatingPoint() {
        OperatingPoint strict = OperatingPoint.at(detector.metadata(), 0.99);
        assertTrue(strict.low > 0.98);
        Detector.Run run = detector.begin(strict);
        run.add(FRAME, 0);
        assertEquals(Verdict.UNCERTAIN, run.finish().verdict);
    }

    @Test
    void closingWhileNothingRunsFreesAtOnceAndOnce() {
        Detector.Run run = detector.begin();
        run.add(FRAME, 0);
        assertClosed(0);
        detector.close();
        assertClosed(1);
        detector.close();
        assertClosed(1);
        assertThrows(CancelledException.class, () -> run.add(FRAME, 1));
        assertThrows(CancelledException.class, run::finish);
        assertThrows(CancelledException.class, detector::begin);
        assertThrows(CancelledException.class, () -> detector.detect(FRAME));
    }

    /** Holds a network in the middle of a run, does something, lets it go on; what the run threw. */
    private Throwable heldIn(Made network, Detector.Run run, Runnable meanwhile) throws InterruptedException {
        CountDownLatch reached = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        Function<Tensor, Tensor[]> answer = network.answer;
        network.answer = image -> {
            reached.countDown();
            try {
                assertTrue(goOn.await(20, TimeUnit.SECONDS));
            } catch (InterruptedException error) {
                throw new AssertionError(error);
            }
            return answer.apply(image);
        };
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        Thread thread = new Thread(() -> {
            try {
                run.add(FRAME, 0);
            } catch (Throwable error) {
                thrown.set(error);
            }
        });
        thread.start();
        assertTrue(reached.await(20, TimeUnit.SECONDS));
        meanwhile.run();
        goOn.countDown();
        thread.join(20_000);
        assertFalse(thread.isAlive());
        network.answer = answer;
        return thrown.get();
    }

    @Test
    void closingInTheMiddleOfARunFreesWhenTheRunHasStopped() throws InterruptedException {
        for (int held = 0; held < 4; held++) {
            open();
            Throwable thrown = heldIn(all().get(held), detector.begin(), () -> {
                detector.close();
                assertClosed(0);
            });
            assertSame(CancelledException.class, thrown.getClass());
            assertClosed(1);
            for (Made later : all().subList(held + 1, 4)) {
                assertEquals(0, later.runs, later.name);
            }
        }
    }

    @Test
    void cancellingARunLeavesTheOthers() throws InterruptedException {
        Detector.Run run = detector.begin();
        Detector.Run other = detector.begin();
        Throwable thrown = heldIn(rnet, run, run::cancel);
        assertSame(CancelledException.class, thrown.getClass());
        assertThrows(CancelledException.class, run::finish);
        assertThrows(CancelledException.class, () -> run.add(FRAME, 1));
        assertEquals(1, other.add(FRAME, 0).size());
        assertClosed(0);
    }

    @Test
    void aFrameThatCannotBeJudgedLeavesTheRunAsItWas() {
        Detector.Run run = detector.begin();
        run.add(FRAME, 5);
        assertThrows(UsageException.class, () -> run.add(FRAME, 4));
        assertThrows(UsageException.class, () -> run.add(FRAME, Double.NaN));
        assertThrows(UsageException.class, () -> run.add(FRAME, Double.POSITIVE_INFINITY));
        onet.answer = image -> {
            throw new IllegalStateException("no memory left\nat all");
        };
        String message = assertThrows(ModelFileException.class, () -> run.add(FRAME, 6))
                .getMessage();
        assertEquals("O-Net: expected a network that runs, got: no memory left", message);
        classifier.answer = image -> {
            throw new OutOfMemoryError();
        };
        onet.answer = image -> row(image, 4, 0);
        assertThrows(ModelFileException.class, () -> run.add(FRAME, 6), "landmarks are missing");
        assertEquals(1, run.finish().framesScored);
        detector.close();
        assertClosed(1);
    }

    @Test
    void memoryThatDoesNotSuffice() {
        pnet.answer = image -> {
            throw new OutOfMemoryError("heap");
        };
        String message = assertThrows(InputException.class, () -> detector.detect(FRAME))
                .getMessage();
        assertTrue(message.contains("120 x 120"), message);
    }

    @Test
    void answersThatAreNone() {
        Tensor[][] wrong = {
            null,
            {},
            {new Tensor(new float[0], 0)},
            {null},
            {new Tensor(new float[2], 2)},
            {new Tensor(new float[3], 1, 3)},
            {new Tensor(new float[] {0, Float.NaN}, 1, 2)},
            {new Tensor(new float[] {Float.POSITIVE_INFINITY, 0}, 1, 2)},
        };
        for (Tensor[] answer : wrong) {
            classifier.answer = image -> answer;
            String message = assertThrows(ModelFileException.class, () -> detector.detect(FRAME))
                    .getMessage();
            assertTrue(message.startsWith("classifier: expected"), message);
        }
        for (Made network : Arrays.asList(pnet, rnet, onet)) {
            Function<Tensor, Tensor[]> good = network.answer;
            network.answer = image -> {
                Tensor[] found = good.apply(image);
                found[0] = new Tensor(new float[3], 3);
                return found;
            };
            assertThrows(ModelFileException.class, () -> detector.detect(FRAME), network.name);
            network.answer = good;
        }
    }

    @Test
    void numbersThatAreNoneFindNoFace() {
        for (Made network : Arrays.asList(pnet, rnet, onet)) {
            for (float value : new float[] {Float.NaN, Float.POSITIVE_INFINITY, -Float.MAX_VALUE}) {
                for (int output = 0; output < 2; output++) {
                    open();
                    int damaged = output;
                    Made same = all().get(Arrays.asList("pnet", "rnet", "onet").indexOf(network.name));
                    Function<Tensor, Tensor[]> good = same.answer;
                    same.answer = image -> {
                        Tensor[] found = good.apply(image);
                        Arrays.fill(found[damaged].data, value);
                        return found;
                    };
                    for (FaceTrack track : detector.detect(FRAME).faces) {
                        Box box = track.frames.get(0).face.box;
                        assertTrue(Double.isFinite(box.x0 + box.y0 + box.x1 + box.y1), network.name + " " + value);
                    }
                }
            }
        }
    }

    @Test
    void crowdsGoThroughInBatches() {
        pnet.answer = image -> {
            Tensor[] found = grid(image);
            Arrays.fill(found[1].data, 0.9f);
            return found;
        };
        Frame large = Frame.rgb(new byte[900 * 900 * 3], 900, 900);
        List<Integer> batches = new ArrayList<>();
        Function<Tensor, Tensor[]> good = rnet.answer;
        rnet.answer = image -> {
            batches.add(image.size(0));
            return good.apply(image);
        };
        detector.detect(large);
        assertTrue(batches.size() > 1 && batches.get(0) == 256, batches.toString());
        int most = classifier.runs;
        assertTrue(most > 1, "more faces than one batch");
    }

    @Test
    void framesSmallerThanAFaceHaveNone() {
        for (int[] size : new int[][] {{1, 1}, {39, 500}, {500, 39}, {3, 7}}) {
            Result result = detector.detect(Frame.rgb(new byte[3 * size[0] * size[1]], size[0], size[1]));
            assertEquals(Verdict.NO_FACE, result.verdict);
        }
        assertEquals(0, pnet.runs);
    }

    @Test
    void networksThatCannotBeOpenedCloseTheOthers() {
        BundleTest files = new BundleTest();
        files.fill();
        Bundle bundle = files.read();
        List<Made> opened = new ArrayList<>();
        Interpreter.Factory factory = (network, bytes) -> {
            if (network == Interpreter.Network.ONET) {
                throw new IllegalArgumentException("not a network");
            }
            opened.add(new Made(network.name(), null));
            return opened.get(opened.size() - 1);
        };
        String message = assertThrows(ModelFileException.class, () -> Detector.open(bundle, factory))
                .getMessage();
        assertTrue(message.contains("ONET") && message.contains("not a network"), message);
        assertEquals(2, opened.size());
        assertTrue(opened.stream().allMatch(network -> network.closed == 1));
        assertThrows(ModelFileException.class, () -> Detector.open(bundle, (network, bytes) -> null));
    }
}
