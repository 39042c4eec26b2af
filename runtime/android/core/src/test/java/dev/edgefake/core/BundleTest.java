package dev.edgefake.core;

import static dev.edgefake.core.TestData.object;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** A bundle as docs/android-bundle.md says it is, and all that can be wrong with one. */
class BundleTest {
    private final Map<String, byte[]> files = new HashMap<>();
    private Map<String, Object> description;

    @BeforeEach
    void fill() {
        put("classifier.tflite", TestData.file(classifier()));
        for (String name : new String[] {"pnet", "rnet", "onet"}) {
            put(name + ".tflite", TestData.file(TestData.root().resolve("models/mtcnn/" + name + ".tflite")));
        }
        description = new LinkedHashMap<>();
        description.put("bundle", "edgefake-android");
        description.put("schema", 1L);
        description.put("edgefake", "0.1.0");
        description.put("model", Json.parse(ModelFile.metadata(files.get("classifier.tflite"))));
        description.put("classifier", json("{'file': 'classifier.tflite', 'layout': 'NCHW', 'litert': '2.1.2'}"));
        String network = "{'file': '%s.tflite', 'threshold': %s, 'overlap': %s%s}";
        description.put(
                "faces",
                json("{'min_face': 48, 'full_size': 1080, 'least_score': 0.9, 'factor': 0.709, 'cell': 12, 'stride': 2,"
                        + "'resampling': 'adaptive-area', 'mean': 127.5, 'scale': 0.0078125, 'layout': 'NHWC', 'batch': 32,"
                        + "'pnet': " + String.format(network, "pnet", 0.6, 0.7, ", 'overlap_in_scale': 0.5")
                        + ", 'rnet': " + String.format(network, "rnet", 0.7, 0.65, "")
                        + ", 'onet': " + String.format(network, "onet", 0.75, 0.7, "") + "}"));
        description.put(
                "video",
                json("{'every': 15, 'least_frames': 2, 'trim': 0.2, 'max_distance': 1, 'max_growth': 1.8, 'max_gap': 3}"));
        list();
    }

    /** The first of the shipped ones. */
    private static Path classifier() {
        try (Stream<Path> files = Files.walk(TestData.root().resolve("models"))) {
            return files.filter(path -> path.toString().matches(".*bit\\.tflite")).sorted().findFirst().get();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static Object json(String text) {
        return Json.parse(text.replace('\'', '"'));
    }

    private void put(String name, byte[] bytes) {
        files.put(name, bytes);
    }

    /** Writes down what the files are now. */
    private void list() {
        List<Object> listed = new ArrayList<>();
        files.forEach((name, bytes) -> {
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("file", name);
            entry.put("bytes", (long) bytes.length);
            entry.put("sha256", sha256(bytes));
            entry.put("holds", "");
            listed.add(entry);
        });
        description.put("files", listed);
    }

    private static String sha256(byte[] bytes) {
        try {
            StringBuilder hex = new StringBuilder();
            for (byte each : MessageDigest.getInstance("SHA-256").digest(bytes)) {
                hex.append(String.format("%02x", each));
            }
            return hex.toString();
        } catch (java.security.NoSuchAlgorithmException error) {
            throw new AssertionError(error);
        }
    }

    Bundle read() {
        put("edgefake.json", TestData.JsonText.of(description).getBytes(StandardCharsets.UTF_8));
        return readFiles();
    }

    private Bundle readFiles() {
        return Bundle.read(this::stream);
    }

    private InputStream stream(String name) throws IOException {
        if (!files.containsKey(name)) {
            throw new FileNotFoundException(name);
        }
        return new ByteArrayInputStream(files.get(name));
    }

    private void assertRefused(String... parts) {
        assertRefused(this::read, parts);
    }

    private static void assertRefused(Executable call, String... parts) {
        String message = assertThrows(ModelFileException.class, call).getMessage();
        for (String part : parts) {
            assertTrue(message.contains(part), message);
        }
        assertTrue(message.contains("expected") && !message.contains("\n"), message);
    }

    @Test
    void aWholeOne() {
        Bundle bundle = read();
        assertEquals(Metadata.ofModel(files.get("classifier.tflite")).name, bundle.metadata.name);
        assertEquals(Layout.NCHW, bundle.classifierLayout);
        assertEquals(Layout.NHWC, bundle.faces.layout);
        assertEquals(48, bundle.faces.minFace);
        assertEquals(32, bundle.faces.batch);
        assertArrayEquals(new float[] {0.6f, 0.7f, 0.75f}, bundle.faces.thresholds);
        assertArrayEquals(new float[] {0.7f, 0.65f, 0.7f}, bundle.faces.overlaps);
        assertEquals(15, bundle.video.every);
        assertArrayEquals(files.get("rnet.tflite"), bundle.model(Interpreter.Network.RNET));
    }

    @Test
    void unknownFieldsAreLeftOut() {
        description.put("later", 1L);
        object(description.get("video")).put("later", 1L);
        assertEquals(15, read().video.every);
    }

    @Test
    void missingFiles() {
        for (String name : new String[] {"onet.tflite", "classifier.tflite"}) {
            byte[] kept = files.remove(name);
            assertRefused(name, "copy the whole bundle again");
            put(name, kept);
        }
        files.clear();
        String message =
                assertThrows(ModelFileException.class, this::readFiles).getMessage();
        assertTrue(message.contains("edgefake.json"), message);
    }

    @Test
    void damagedFiles() {
        for (String name : new String[] {"pnet.tflite", "rnet.tflite", "onet.tflite", "classifier.tflite"}) {
            byte[] whole = files.get(name);
            byte[] flipped = whole.clone();
            flipped[whole.length / 2] ^= 1;
            put(name, flipped);
            assertRefused(name, "SHA-256");
            put(name, Arrays.copyOf(whole, whole.length - 1));
            assertRefused(name, "got " + (whole.length - 1));
            put(name, whole);
        }
        read();
    }

    @Test
    void textsAreCheckedWhenTheyAreRead() {
        String card = "# A model\n\n## Limits\n\nIt \u2260 proof.\n";
        put("MODEL-CARD.md", card.getBytes(StandardCharsets.UTF_8));
        list();
        Bundle bundle = read();
        assertTrue(bundle.lists("MODEL-CARD.md"));
        assertEquals(card, bundle.text(this::stream, "MODEL-CARD.md"));
        put("MODEL-CARD.md", card.replace("proof", "doubt").getBytes(StandardCharsets.UTF_8));
        assertRefused(() -> bundle.text(this::stream, "MODEL-CARD.md"), "MODEL-CARD.md", "SHA-256", "copy the whole");
        put("MODEL-CARD.md", new byte[0]);
        assertRefused(() -> bundle.text(this::stream, "MODEL-CARD.md"), "MODEL-CARD.md", "got 0 with");
        files.remove("MODEL-CARD.md");
        assertRefused(() -> bundle.text(this::stream, "MODEL-CARD.md"), "MODEL-CARD.md", "copy the whole bundle again");
        put("MODEL-CARD.md", new byte[] {'#', (byte) 0xff});
        list();
        Bundle another = read();
        assertRefused(() -> another.text(this::stream, "MODEL-CARD.md"), "MODEL-CARD.md: expected UTF-8");
    }

    @Test
    void textsThatAreNotListed() {
        put("NOTICE", "of somebody else".getBytes(StandardCharsets.UTF_8));
        Bundle bundle = read();
        assertFalse(bundle.lists("NOTICE"));
        assertRefused(() -> bundle.text(this::stream, "NOTICE"), "edgefake.json: expected NOTICE among its files");
        assertRefused(() -> bundle.text(this::stream, "../NOTICE"), "beside it");
    }

    @Test
    void aClassifierOfAnotherVersionThanTheDescription() {
        object(description.get("model")).put("edgefake", "0.0.9");
        assertRefused("classifier.tflite", "another one");
        object(description.get("model")).remove("edgefake");
        assertRefused("edgefake.json", "edgefake: expected text, got nothing");
        fill();
        put("classifier.tflite", files.get("pnet.tflite"));
        list();
        assertRefused("classifier.tflite", "another one");
    }

    @Test
    void anotherSchemaOrBundle() {
        description.put("schema", 2L);
        assertRefused("schema: expected 1, got 2", "update");
        description.put("schema", 0L);
        assertRefused("schema");
        description.put("schema", 1L);
        object(description.get("model")).put("schema", 2L);
        assertRefused("metadata schema: expected 1, got 2");
        description.put("bundle", "edgefake-ios");
        assertRefused("bundle: expected edgefake-android, got edgefake-ios");
    }

    @Test
    void whatTheFaceDetectorCannotDo() {
        object(description.get("faces")).put("resampling", "bilinear");
        assertRefused("faces.resampling: expected adaptive-area, got bilinear");
        fill();
        object(description.get("faces")).put("stride", 4L);
        assertRefused("faces.stride");
        fill();
        object(description.get("faces")).put("layout", "CHWN");
        assertRefused("faces.layout");
        fill();
        object(description.get("faces")).put("batch", 0L);
        assertRefused("faces: batch");
        fill();
        object(description.get("faces")).put("min_face", 11L);
        assertRefused("faces: min_face");
        fill();
        object(object(description.get("faces")).get("rnet")).put("threshold", 1.5);
        assertRefused("faces: thresholds");
        fill();
        object(description.get("video")).put("every", 0L);
        assertRefused("video: every");
        fill();
        object(description.get("video")).put("trim", 0.5);
        assertRefused("video: trim");
    }

    @Test
    void everyFieldIsNeeded() {
        assertEveryFieldNeeded(description, Arrays.asList("edgefake"), "");
        assertEveryFieldNeeded(object(description.get("faces")), Arrays.asList("batch"), "faces.");
        assertEveryFieldNeeded(object(object(description.get("faces")).get("pnet")), new ArrayList<>(), "faces.pnet.");
        assertEveryFieldNeeded(object(description.get("video")), new ArrayList<>(), "video.");
        assertEveryFieldNeeded(object(description.get("classifier")), Arrays.asList("litert"), "classifier.");
    }

    private void assertEveryFieldNeeded(Map<String, Object> place, List<String> free, String path) {
        for (String name : new ArrayList<>(place.keySet())) {
            Object value = place.remove(name);
            if (free.contains(name)) {
                read();
            } else {
                assertRefused(name, path.isEmpty() ? "" : path.substring(0, path.length() - 1));
            }
            place.put(name, value);
        }
    }

    @Test
    void namesThatLeadElsewhere() {
        for (String name : new String[] {"../onet.tflite", "/etc/passwd", "a/b", "..\\x", ".", "", ".hidden"}) {
            object(object(description.get("faces")).get("onet")).put("file", name);
            assertRefused("beside it");
        }
        object(object(description.get("faces")).get("onet")).put("file", "other.tflite");
        assertRefused("other.tflite among its files");
    }

    @Test
    void whatIsNoDescription() {
        for (String text : new String[] {"", "[]", "{\"bundle\": \"edgefake-android\"", "\"edgefake-android\""}) {
            put("edgefake.json", text.getBytes(StandardCharsets.UTF_8));
            String message =
                    assertThrows(ModelFileException.class, this::readFiles).getMessage();
            assertTrue(message.startsWith("edgefake.json: "), message);
        }
        put("edgefake.json", new byte[] {'"', (byte) 0xff, '"'});
        assertThrows(ModelFileException.class, this::readFiles);
    }
}
