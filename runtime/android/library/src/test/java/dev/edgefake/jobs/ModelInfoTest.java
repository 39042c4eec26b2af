package dev.edgefake.jobs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.edgefake.core.Bundle;
import dev.edgefake.core.ModelFileException;
import java.io.ByteArrayInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** A bundle of the shipped model, as scripts/compile_android has it written. */
class ModelInfoTest {
    private static Path bundle() {
        String clips = System.getProperty("edgefake.clips");
        assumeTrue(clips != null, "needs -Dedgefake.clips");
        return Paths.get(clips, "bundle");
    }

    /** With some of its files in another form, or (null) without them. */
    private static ModelInfo read(Map<String, byte[]> changed) {
        Bundle.Files files = name -> {
            if (!changed.containsKey(name)) {
                return Files.newInputStream(bundle().resolve(name));
            }
            if (changed.get(name) == null) {
                throw new FileNotFoundException(name);
            }
            return new ByteArrayInputStream(changed.get(name));
        };
        return ModelInfo.of(Bundle.read(files), files);
    }

    /** The description, with a file that it lists under another name. */
    private static byte[] renamed(String name, String other) throws IOException {
        String text = new String(Files.readAllBytes(bundle().resolve("edgefake.json")), StandardCharsets.UTF_8);
        assertTrue(text.contains('"' + name + '"'), text);
        return text.replace('"' + name + '"', '"' + other + '"').getBytes(StandardCharsets.UTF_8);
    }

    @Test
    void theCardOfTheShippedModel() {
        ModelInfo model = read(Collections.emptyMap());
        assertEquals("bitvit-tiny-hybrid", model.metadata.name);
        assertEquals(30, model.video.every);
        String limits = model.section("Limits");
        assertTrue(limits.startsWith("- ") && limits.endsWith("."), limits);
        assertTrue(!limits.contains("\n#") && model.section("Misuse").contains("no proof"), limits);
        assertEquals("", model.section("No such section"));
        assertEquals("", model.section("limits"));
        assertEquals("", model.notice);
    }

    @Test
    void textsThatAreNotListedAreEmpty() throws IOException {
        byte[] card = Files.readAllBytes(bundle().resolve("MODEL-CARD.md"));
        Map<String, byte[]> changed = new HashMap<>();
        changed.put("edgefake.json", renamed("MODEL-CARD.md", "NOTICE"));
        changed.put("NOTICE", card);
        ModelInfo model = read(changed); // the card lies there, unlisted
        assertEquals("", model.card + model.section("Limits"));
        assertEquals(new String(card, StandardCharsets.UTF_8), model.notice);
    }

    @Test
    void aListedTextThatIsMissingOrDamaged() throws IOException {
        byte[] card = Files.readAllBytes(bundle().resolve("MODEL-CARD.md"));
        card[card.length / 2] ^= 1;
        refused(card, "SHA-256");
        refused(Arrays.copyOf(card, 9), "got 9 with");
        refused(null, "copy the whole bundle again");
    }

    private static void refused(byte[] card, String part) {
        String message = assertThrows(
                        ModelFileException.class, () -> read(Collections.singletonMap("MODEL-CARD.md", card)))
                .getMessage();
        assertTrue(message.startsWith("MODEL-CARD.md: expected ") && message.contains(part), message);
    }
}
