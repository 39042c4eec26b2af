package dev.edgefake.core;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.InflaterInputStream;
import javax.imageio.ImageIO;

/** Golden values (scripts/golden_android.py writes them), samples and models. */
public final class TestData {
    private TestData() {}

    /** The repository, named by the system property edgefake.root. */
    public static Path root() {
        return Paths.get(System.getProperty("edgefake.root", "."));
    }

    /** Part of the golden values. */
    public static Object golden(String part) {
        try (InputStream stream = TestData.class.getResourceAsStream("/golden.json")) {
            return object(Json.parse(new String(bytes(stream), StandardCharsets.UTF_8))).get(part);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** A JSON file. */
    public static Map<String, Object> json(Path path) {
        return object(Json.parse(new String(file(path), StandardCharsets.UTF_8)));
    }

    /** Metadata that belong to no model. */
    static Metadata metadata() {
        return Metadata.fromJson(JsonText.of(golden("metadata")));
    }

    @SuppressWarnings("unchecked")
    public static Map<String, Object> object(Object value) {
        return (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    public static List<Object> list(Object value) {
        return (List<Object>) value;
    }

    public static double number(Object value) {
        return ((Number) value).doubleValue();
    }

    public static double[] numbers(Object value) {
        return list(value).stream().mapToDouble(TestData::number).toArray();
    }

    public static int[] integers(Object value) {
        return list(value).stream().mapToInt(each -> ((Number) each).intValue()).toArray();
    }

    static float[] floats(Object value) {
        double[] numbers = numbers(value);
        float[] floats = new float[numbers.length];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = (float) numbers[i];
        }
        return floats;
    }

    static Box box(Object value) {
        double[] edges = numbers(value);
        return new Box(edges[0], edges[1], edges[2], edges[3]);
    }

    /** Deflated bytes as base64. */
    public static byte[] unpack(Object text) {
        byte[] deflated = Base64.getDecoder().decode((String) text);
        try (InputStream stream = new InflaterInputStream(new java.io.ByteArrayInputStream(deflated))) {
            return bytes(stream);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** The same as float32, little endian. */
    static float[] unpackFloats(Object text) {
        ByteBuffer bytes = ByteBuffer.wrap(unpack(text)).order(ByteOrder.LITTLE_ENDIAN);
        float[] floats = new float[bytes.remaining() / 4];
        bytes.asFloatBuffer().get(floats);
        return floats;
    }

    static long crc32(float[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        CRC32 crc = new CRC32();
        crc.update(bytes.array());
        return crc.getValue();
    }

    /** A picture of docs/samples. */
    public static Frame sample(String name) {
        try {
            BufferedImage image = ImageIO.read(root().resolve("docs/samples").resolve(name).toFile());
            int width = image.getWidth();
            int height = image.getHeight();
            byte[] rgb = new byte[3 * width * height];
            int[] pixels = image.getRGB(0, 0, width, height, null, 0, width);
            for (int i = 0; i < pixels.length; i++) {
                rgb[3 * i] = (byte) (pixels[i] >> 16);
                rgb[3 * i + 1] = (byte) (pixels[i] >> 8);
                rgb[3 * i + 2] = (byte) pixels[i];
            }
            return Frame.rgb(rgb, width, height);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    public static byte[] file(Path path) {
        try {
            return Files.readAllBytes(path);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static byte[] bytes(InputStream stream) throws IOException {
        ByteArrayOutputStream found = new ByteArrayOutputStream();
        byte[] part = new byte[8192];
        for (int count = stream.read(part); count >= 0; count = stream.read(part)) {
            found.write(part, 0, count);
        }
        return found.toByteArray();
    }

    /** Largest difference of two pictures, grey levels. */
    static int difference(byte[] a, byte[] b) {
        if (a.length != b.length) {
            throw new AssertionError("expected " + a.length + " bytes, got " + b.length);
        }
        int largest = 0;
        for (int i = 0; i < a.length; i++) {
            largest = Math.max(largest, Math.abs((a[i] & 255) - (b[i] & 255)));
        }
        return largest;
    }

    /** Writes JSON, which the library itself never does. */
    static final class JsonText {
        private JsonText() {}

        static String of(Object value) {
            StringBuilder text = new StringBuilder();
            write(value, text);
            return text.toString();
        }

        private static void write(Object value, StringBuilder text) {
            if (value instanceof Map) {
                text.append('{');
                String comma = "";
                for (Map.Entry<String, Object> entry : object(value).entrySet()) {
                    text.append(comma).append('"').append(entry.getKey()).append("\":");
                    write(entry.getValue(), text);
                    comma = ",";
                }
                text.append('}');
            } else if (value instanceof List) {
                text.append('[');
                String comma = "";
                for (Object each : list(value)) {
                    text.append(comma);
                    write(each, text);
                    comma = ",";
                }
                text.append(']');
            } else if (value instanceof String) {
                text.append('"').append(((String) value).replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n"));
                text.append('"');
            } else {
                text.append(value);
            }
        }
    }
}
