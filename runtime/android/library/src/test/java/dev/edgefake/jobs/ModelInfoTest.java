package dev.edgefake.jobs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.edgefake.core.Bundle;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import org.junit.jupiter.api.Test;

/** A bundle of the shipped model, as scripts/compile_android has it written. */
class ModelInfoTest {
    private static Path bundle() {
        String clips = System.getProperty("edgefake.clips");
        assumeTrue(clips != null, "needs -Dedgefake.clips");
        return Paths.get(clips, "bundle");
    }

    private static ModelInfo read(Bundle.Files texts) {
        Bundle bundle = Bundle.read(name -> Files.newInputStream(bundle().resolve(name)));
        return ModelInfo.of(bundle, texts);
    }

    @Test
    void theCardOfTheShippedModel() throws IOException {
        Path card = Paths.get(System.getProperty("edgefake.root"), "models", "bitvit-tiny-hybrid", "README.md");
        ModelInfo model =
                read(name -> Files.newInputStream(name.equals("MODEL-CARD.md") ? card : bundle().resolve(name)));
        assertEquals("bitvit-tiny-hybrid", model.metadata.name);
        assertEquals(30, model.video.every);
        String limits = model.section("Limits");
        assertTrue(limits.startsWith("- ") && limits.endsWith("."), limits);
        assertTrue(!limits.contains("\n#") && model.section("Misuse").contains("no proof"), limits);
        assertEquals("", model.section("No such section"));
        assertEquals("", model.section("limits"));
    }

    @Test
    void textsThatAreNotThereAreEmpty() {
        ModelInfo model = read(name -> {
            throw new IOException("no such file: " + name);
        });
        assertEquals("", model.card + model.notice + model.section("Limits"));
        assertEquals("", read(name -> null).card);
    }
}
