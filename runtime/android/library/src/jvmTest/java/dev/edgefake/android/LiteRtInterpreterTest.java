package dev.edgefake.android;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgefake.core.Bundle;
import dev.edgefake.core.Detector;
import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.FaceFrame;
import dev.edgefake.core.Frame;
import dev.edgefake.core.Interpreter;
import dev.edgefake.core.ModelFileException;
import dev.edgefake.core.Result;
import dev.edgefake.core.Tensor;
import dev.edgefake.core.TestData;
import dev.edgefake.jobs.Job;
import dev.edgefake.jobs.JobQueue;
import dev.edgefake.jobs.Listener;
import dev.edgefake.jobs.ModelInfo;
import dev.edgefake.jobs.OneFrame;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** The library's way from a bundle to a verdict, with real inference: LiteRT runs in a Python process. */
class LiteRtInterpreterTest {
    private static final Path CLIPS = Paths.get(System.getProperty("edgefake.clips"));
    private static final Bundle.Files FILES = name -> Files.newInputStream(CLIPS.resolve("bundle").resolve(name));

    private static Interpreter network(String name) {
        return new LiteRtInterpreter(TestData.file(CLIPS.resolve("bundle").resolve(name)), 1);
    }

    @Test
    void aPictureAsThePythonRuntimeJudgesIt() throws InterruptedException {
        Map<String, Object> record = TestData.json(CLIPS.resolve("clips.json"));
        Map<String, Object> golden = TestData.object(TestData.list(record.get("litert")).get(0));
        JobQueue queue = new JobQueue(
                () -> {
                    Bundle bundle = Bundle.read(FILES);
                    return new JobQueue.Opened(
                            Detector.open(bundle, LiteRtInterpreter.factory(1)), ModelInfo.of(bundle, FILES));
                },
                Thread::new,
                Runnable::run);
        Frame frame = Frame.rgb(
                TestData.file(CLIPS.resolve(golden.get("name") + ".rgb")),
                (int) TestData.number(golden.get("width")),
                (int) TestData.number(golden.get("height")));
        AtomicReference<Result> found = new AtomicReference<>();
        AtomicReference<EdgefakeException> failed = new AtomicReference<>();
        Job job = queue.submit(settings -> new OneFrame(frame), new Listener() {
            @Override
            public void onResult(Result result) {
                found.set(result);
            }

            @Override
            public void onError(EdgefakeException error) {
                failed.set(error);
            }
        });
        assertTrue(job.await(120, TimeUnit.SECONDS));
        queue.close();
        assertEquals(null, failed.get());
        Map<String, Object> track = TestData.object(TestData.list(golden.get("tracks")).get(0));
        Map<String, Object> scored = TestData.object(TestData.list(track.get("frames")).get(0));
        FaceFrame face = found.get().faces.get(0).frames.get(0);
        double[] box = {face.face.box.x0, face.face.box.y0, face.face.box.x1, face.face.box.y1};
        System.out.printf(
                "%s through the library: P(fake) %.6f, in Python %.6f; box %s, in Python %s%n",
                golden.get("name"), found.get().score, TestData.number(golden.get("score")), Arrays.toString(box),
                scored.get("box"));
        assertEquals(TestData.list(golden.get("tracks")).size(), found.get().faces.size());
        assertEquals(TestData.number(golden.get("score")), found.get().score, 1e-3);
        assertEquals(golden.get("verdict"), found.get().verdict.label);
        assertArrayEquals(TestData.numbers(scored.get("box")), box, 1e-3);
    }

    @Test
    void sizesFollowWhatComes() {
        Interpreter pnet = network("pnet.tflite");
        for (int[] size : new int[][] {{12, 12, 1, 1}, {31, 40, 11, 15}, {12, 12, 1, 1}}) {
            Tensor[] found = pnet.run(
                    new Tensor(new float[3 * size[0] * size[1]], 1, size[0], size[1], 3), "boxes", "probability");
            assertEquals(Arrays.toString(new int[] {1, size[2], size[3], 4}), found[0].toString());
            assertEquals(Arrays.toString(new int[] {1, size[2], size[3], 1}), found[1].toString());
        }
        pnet.close();
    }

    /** One face at a time is what the classifier's file takes; three are its answers one below the other. */
    @Test
    void aBatchForANetworkThatTakesOne() {
        Interpreter classifier = network("classifier.tflite");
        int size = Bundle.read(FILES).metadata.inputSize;
        float[] all = new float[3 * 3 * size * size];
        for (int i = 0; i < all.length; i++) {
            all[i] = (float) Math.sin(i * 0.01) * (1 + i / (3 * size * size));
        }
        Tensor together = classifier.run(new Tensor(all, 3, 3, size, size), "logits")[0];
        assertEquals("[3, 2]", together.toString());
        for (int n = 0; n < 3; n++) {
            float[] one = Arrays.copyOfRange(all, n * 3 * size * size, (n + 1) * 3 * size * size);
            float[] logits = classifier.run(new Tensor(one, 1, 3, size, size), "logits")[0].data;
            assertArrayEquals(logits, Arrays.copyOfRange(together.data, 2 * n, 2 * n + 2));
        }
        assertTrue(together.data[0] != together.data[2]);
        classifier.close();
    }

    @Test
    void badInput() {
        for (byte[] bytes : new byte[][] {{}, "no network".getBytes()}) {
            String message = assertThrows(ModelFileException.class, () -> new LiteRtInterpreter(bytes, 1)).getMessage();
            assertTrue(message.startsWith("expected a network that this LiteRT can run, got: "), message);
            message = assertThrows(
                            ModelFileException.class,
                            () -> LiteRtInterpreter.factory(1).open(Interpreter.Network.RNET, bytes))
                    .getMessage();
            assertTrue(message.startsWith("RNET: expected "), message);
        }
        Interpreter rnet = network("rnet.tflite");
        Tensor crops = new Tensor(new float[2 * 24 * 24 * 3], 2, 24, 24, 3);
        assertEquals("[2, 4]", rnet.run(crops, "boxes")[0].toString()); // together: this file takes any number
        assertThrows(RuntimeException.class, () -> rnet.run(crops, "logits"));
        assertThrows(RuntimeException.class, () -> rnet.run(new Tensor(new float[0], 0, 24, 24, 3), "boxes"));
        assertEquals("[2, 1]", rnet.run(crops, "probability")[0].toString());
        rnet.close();
        rnet.close();
        assertSame(
                ModelFileException.class,
                assertThrows(RuntimeException.class, () -> rnet.run(crops, "boxes")).getClass());
    }
}
