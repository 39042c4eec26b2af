package dev.edgefake.core;

import static dev.edgefake.core.TestData.list;
import static dev.edgefake.core.TestData.number;
import static dev.edgefake.core.TestData.object;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Resizing, against what this machine's OpenCV makes of noise and of faces in clips (scripts/golden_android.py --clips). */
class ClipsTest {
    /** Grey levels that OpenCV's builds for other processors may differ by, where a sum lies between two. */
    private static final int TIE = 1;

    private static Path folder;
    private static Map<String, Object> record;

    @BeforeAll
    static void read() {
        String name = System.getProperty("edgefake.clips");
        assumeTrue(name != null, "needs frames of clips: -Dedgefake.clips");
        folder = Paths.get(name);
        record = TestData.json(folder.resolve("clips.json"));
    }

    @Test
    void noiseOfManySizes() {
        byte[] bytes = TestData.file(folder.resolve("noise.bin"));
        int largest = 0;
        for (Object each : list(record.get("noise"))) {
            Map<String, Object> noise = object(each);
            int height = (int) number(noise.get("height"));
            int width = (int) number(noise.get("width"));
            int size = (int) number(noise.get("size"));
            int at = (int) number(noise.get("at"));
            int end = at + 3 * height * width;
            Image image = Frame.rgb(Arrays.copyOfRange(bytes, at, end), width, height).toImage();
            byte[] expected = Arrays.copyOfRange(bytes, end, end + 3 * size * size);
            int difference = TestData.difference(expected, Resize.to(image, size).rgb());
            assertTrue(difference <= TIE, () -> height + " x " + width + " to " + size + ": " + difference);
            largest = Math.max(largest, difference);
        }
        System.out.printf(
                "resized noise, %d sizes: largest difference from OpenCV %d grey levels%n",
                list(record.get("noise")).size(), largest);
    }

    @Test
    void cropsOfFaces() {
        Metadata metadata = Metadata.ofModel(TestData.file(Paths.get((String) record.get("model"))));
        int largest = 0;
        int count = 0;
        for (Object each : list(record.get("clips"))) {
            Map<String, Object> clip = object(each);
            int width = (int) number(clip.get("width"));
            int height = (int) number(clip.get("height"));
            byte[] frames = TestData.file(folder.resolve(clip.get("name") + ".rgb"));
            int size = 3 * width * height;
            for (Object cut : list(clip.get("crops"))) {
                int at = size * (int) number(object(cut).get("frame"));
                Image frame = Frame.rgb(Arrays.copyOfRange(frames, at, at + size), width, height).toImage();
                Image crop = Crops.cut(frame, TestData.box(object(cut).get("box")), metadata);
                largest = Math.max(largest, TestData.difference(TestData.unpack(object(cut).get("data")), crop.rgb()));
                count++;
            }
        }
        assertTrue(count > 0);
        assertTrue(largest <= TIE, "largest difference " + largest);
        System.out.printf("%d crops of faces: largest difference from OpenCV %d grey levels%n", count, largest);
    }
}
