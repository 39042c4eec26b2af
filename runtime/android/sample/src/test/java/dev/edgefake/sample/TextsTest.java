package dev.edgefake.sample;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.edgefake.core.Bundle;
import dev.edgefake.jobs.ModelInfo;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Locale;
import org.junit.jupiter.api.Test;

/** What the app says of the shipped model. */
class TextsTest {
    private static ModelInfo model(boolean withCard) {
        String clips = System.getProperty("edgefake.clips");
        assumeTrue(clips != null, "needs -Dedgefake.clips");
        Path bundle = Paths.get(clips, "bundle");
        Bundle.Files files = name -> {
            byte[] bytes = Files.readAllBytes(bundle.resolve(name));
            if (name.equals("edgefake.json") && !withCard) {
                String text = new String(bytes, StandardCharsets.UTF_8);
                bytes = text.replace("\"MODEL-CARD.md\"", "\"OTHER.md\"").getBytes(StandardCharsets.UTF_8);
            }
            return new ByteArrayInputStream(bytes);
        };
        return ModelInfo.of(Bundle.read(files), files);
    }

    @Test
    void limitsComeWithTheModel() {
        ModelInfo model = model(true);
        String text = Texts.of(model);
        assertTrue(text.startsWith("bitvit-tiny-hybrid, 2 bits, edgefake "), text);
        assertTrue(text.contains("\nLimits\n" + model.section("Limits")), text);
        assertTrue(text.contains("A score is no proof"), text);
        assertTrue(text.contains(String.format(Locale.ROOT, "Fake from %.2f", model.metadata.threshold)), text);
        assertFalse(text.contains("|---"), text); // a card's tables stay in the card
    }

    @Test
    void aBundleWithoutACardSaysSo() {
        assertTrue(Texts.of(model(false)).contains("nothing is known of its limits"));
    }

    @Test
    void anAppThatHandsNothingBackIsNamedWithACure() {
        for (boolean recorded : new boolean[] {true, false}) {
            String text = Texts.noVideo(recorded);
            assertTrue(text.matches("expected [^;]*" + (recorded ? "records" : "picks") + ".*, got none; .*pick it.*"), text);
        }
    }
}
