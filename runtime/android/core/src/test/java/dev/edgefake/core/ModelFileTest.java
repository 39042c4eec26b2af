package dev.edgefake.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The metadata of the shipped models' own files, and of files that are none. */
class ModelFileTest {
    static List<Path> classifiers() throws IOException {
        try (Stream<Path> files = Files.walk(TestData.root().resolve("models"))) {
            return files.filter(path -> path.getFileName().toString().matches("(bitvit|linvit|cnn).*\\.(onnx|tflite)"))
                    .sorted()
                    .collect(Collectors.toList());
        }
    }

    @ParameterizedTest
    @MethodSource("classifiers")
    void shippedModelsSayWhatTheyAre(Path path) {
        Metadata metadata = Metadata.ofModel(TestData.file(path));
        assertTrue(path.getFileName().toString().startsWith(metadata.name), metadata.name);
        assertTrue(metadata.threshold > 0 && metadata.threshold < 1);
    }

    @Test
    void bothFormatsAreAmongThem() throws IOException {
        String names = classifiers().toString();
        assertTrue(names.contains(".onnx") && names.contains(".tflite"), names);
    }

    @Test
    void otherModelsHaveNone() {
        byte[] pnet = TestData.file(TestData.root().resolve("models/mtcnn/pnet.onnx"));
        assertNull(ModelFile.metadata(pnet));
        String message =
                assertThrows(ModelFileException.class, () -> Metadata.ofModel(pnet)).getMessage();
        assertTrue(message.contains("edgefake export"), message);
    }

    @Test
    void whatIsNoModel() {
        for (String text : new String[] {"", "x", "PK\3\4 a zip", "0000TFL3", "0000TFL30000000000000000", "{\"a\": 1}"}) {
            byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
            assertThrows(ModelFileException.class, () -> Metadata.ofModel(bytes), text);
        }
    }

    @ParameterizedTest
    @MethodSource("classifiers")
    void cutAndDamagedFiles(Path path) {
        byte[] whole = TestData.file(path);
        String name = Metadata.ofModel(whole).name;
        Random random = new Random(2);
        for (int i = 0; i < 30; i++) {
            byte[] cut = Arrays.copyOf(whole, random.nextInt(whole.length));
            try {
                assertEquals(name, Metadata.ofModel(cut).name); // a cut that lost nothing but weights
            } catch (ModelFileException expected) {
                // the one thing that may be thrown
            }
        }
        for (int i = 0; i < 1000; i++) { // most of what leads anywhere lies at the ends
            int end = random.nextBoolean() ? whole.length : 0;
            int at = Math.abs(end - 1 - random.nextInt(8192));
            byte before = whole[at];
            whole[at] = (byte) random.nextInt(256);
            try {
                Metadata.ofModel(whole);
            } catch (ModelFileException expected) {
                // the one thing that may be thrown
            }
            whole[at] = before;
        }
        assertEquals(name, Metadata.ofModel(whole).name);
    }
}
