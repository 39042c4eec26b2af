package dev.edgefake.jobs;

import dev.edgefake.core.Detector;
import dev.edgefake.core.FaceSettings;
import dev.edgefake.core.Interpreter;
import dev.edgefake.core.Layout;
import dev.edgefake.core.Metadata;
import dev.edgefake.core.Tensor;
import dev.edgefake.core.VideoSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.concurrent.atomic.AtomicInteger;

/** P-Net's answer of no face anywhere; nothing else is asked. For what jobs do with frames, whatever is in them. */
public final class BlindNetwork implements Interpreter {
    private final Runnable inside;
    private final AtomicInteger open;

    private BlindNetwork(Runnable inside, AtomicInteger open) {
        this.inside = inside;
        this.open = open;
        open.incrementAndGet();
    }

    /**
     * A detector that sees nothing.
     *
     * @param inside run whenever a network is asked.
     * @param open counts its open networks.
     */
    public static JobQueue.Opened opened(Runnable inside, AtomicInteger open) {
        Interpreter[] networks = new Interpreter[4];
        for (int i = 0; i < networks.length; i++) {
            networks[i] = new BlindNetwork(inside, open);
        }
        Detector detector = Detector.of(
                metadata(),
                networks[0],
                Layout.NCHW,
                networks[1],
                networks[2],
                networks[3],
                FaceSettings.standard(Layout.NHWC),
                VideoSettings.standard());
        return new JobQueue.Opened(detector, null);
    }

    private static Metadata metadata() {
        try {
            return Metadata.ofModel(Files.readAllBytes(Paths.get(
                    System.getProperty("edgefake.root"), "models/bitvit-tiny-hybrid/bitvit-tiny-hybrid-2bit.onnx")));
        } catch (IOException error) {
            throw new AssertionError(error);
        }
    }

    @Override
    public Tensor[] run(Tensor image, String... outputs) {
        inside.run();
        int high = (image.shape()[1] - 12 + 1) / 2 + 1;
        int wide = (image.shape()[2] - 12 + 1) / 2 + 1;
        return new Tensor[] {
            new Tensor(new float[4 * high * wide], 1, high, wide, 4), new Tensor(new float[high * wide], 1, high, wide, 1)
        };
    }

    @Override
    public void close() {
        open.decrementAndGet();
    }
}
