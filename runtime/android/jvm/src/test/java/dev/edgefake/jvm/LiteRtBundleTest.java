package dev.edgefake.jvm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.edgefake.core.Bundle;
import dev.edgefake.core.Detector;
import dev.edgefake.core.Interpreter;
import dev.edgefake.core.ModelFileException;
import dev.edgefake.core.Tensor;
import dev.edgefake.core.TestData;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Locale;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** A bundle as an app has it: read from its folder, its TFLite networks in LiteRT, against the Python runtime with them. */
class LiteRtBundleTest {
    private static Clips clips;
    private static Path folder;

    @BeforeAll
    static void read() {
        String name = System.getProperty("edgefake.clips");
        assumeTrue(name != null, "needs -Dedgefake.clips");
        clips = new Clips(Paths.get(name));
        assumeTrue(clips.part("litert") != null, "needs a bundle beside the clips");
        folder = clips.folder.resolve("bundle");
    }

    private static Interpreter open(String file) {
        String python = System.getProperty("edgefake.python");
        return new LiteRtProcess(python, TestData.root().resolve("scripts/serve_litert.py"), folder.resolve(file));
    }

    private static String file(Interpreter.Network network) {
        return network.name().toLowerCase(Locale.ROOT) + ".tflite";
    }

    @Test
    void clipsAsThePythonRuntimeJudgesThem() {
        Bundle bundle = Bundle.read(name -> Files.newInputStream(folder.resolve(name)));
        try (Detector detector = Detector.open(bundle, (network, bytes) -> open(file(network)))) {
            clips.compare(detector, "litert");
        }
    }

    @Test
    void aNetworkThatCannotAnswerSaysWhy() {
        Interpreter network = open("rnet.tflite");
        Tensor crops = new Tensor(new float[2 * 24 * 24 * 3], 2, 24, 24, 3);
        assertEquals("[2, 4]", network.run(crops, "boxes")[0].toString());
        assertThrows(ModelFileException.class, () -> network.run(crops, "logits"));
        assertEquals("[2, 1]", network.run(crops, "probability")[0].toString());
        network.close();
        assertThrows(ModelFileException.class, () -> network.run(crops, "boxes"));
    }
}
