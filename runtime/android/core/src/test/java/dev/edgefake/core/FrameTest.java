package dev.edgefake.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Frames of any stride and format, turned upright; and those that are none. */
class FrameTest {
    private static final int WIDTH = 7;
    private static final int HEIGHT = 5;
    private static final byte[] RGB = bytes(WIDTH * HEIGHT * 3);

    private static byte[] bytes(int count) {
        byte[] bytes = new byte[count];
        new Random(count).nextBytes(bytes);
        return bytes;
    }

    private static Frame plain() {
        return Frame.rgb(RGB, WIDTH, HEIGHT);
    }

    @Test
    void packedBytesAreTheImage() {
        assertArrayEquals(RGB, plain().toImage().rgb());
    }

    @ParameterizedTest
    @CsvSource({"3, 21, 0", "3, 22, 5", "3, 64, 1", "4, 28, 0", "4, 31, 3", "4, 1001, 17"})
    void stridesOffsetsAndAFourthValue(int pixelStride, int rowStride, int offset) {
        for (boolean direct : new boolean[] {false, true}) {
            int needed = offset + (HEIGHT - 1) * rowStride + (WIDTH - 1) * pixelStride + 3; // no byte to spare
            ByteBuffer buffer = direct ? ByteBuffer.allocateDirect(needed) : ByteBuffer.allocate(needed);
            for (int i = 0; i < RGB.length; i++) {
                int pixel = i / 3;
                buffer.put(offset + pixel / WIDTH * rowStride + pixel % WIDTH * pixelStride + i % 3, RGB[i]);
            }
            buffer.position(offset);
            Frame frame = Frame.packed(buffer.asReadOnlyBuffer(), WIDTH, HEIGHT, pixelStride, rowStride);
            assertArrayEquals(RGB, frame.toImage().rgb());
            assertArrayEquals(RGB, frame.toImage().rgb(), "a second time");
            assertEquals(offset, buffer.position());
            assertEquals(needed, buffer.limit());
            buffer.limit(needed - 1);
            assertThrows(
                    InputException.class, () -> Frame.packed(buffer, WIDTH, HEIGHT, pixelStride, rowStride));
        }
    }

    /** The pixel at x, y of the upright frame, looked up one turn at a time. */
    private static int pixel(int x, int y, int turns, boolean mirrored, int width, int height) {
        int uprightWidth = turns % 2 == 0 ? width : height;
        x = mirrored ? uprightWidth - 1 - x : x;
        for (int t = turns; t > 0; t--) { // back by a quarter: what is right was on top
            int formerHeight = t % 2 == 0 ? width : height;
            int formerX = y;
            y = formerHeight - 1 - x;
            x = formerX;
        }
        return y * width + x;
    }

    @ParameterizedTest
    @ValueSource(ints = {-270, -90, 0, 90, 180, 270, 360, 810})
    void turnedAndMirrored(int degrees) {
        int turns = Math.floorMod(degrees / 90, 4);
        for (boolean mirrored : new boolean[] {false, true}) {
            Frame frame = mirrored ? plain().rotated(degrees).mirrored() : plain().rotated(degrees);
            Image image = frame.toImage();
            assertEquals(turns % 2 == 0 ? WIDTH : HEIGHT, image.width);
            assertEquals(image.width, frame.width());
            assertEquals(image.height, frame.height());
            byte[] rgb = image.rgb();
            for (int i = 0; i < rgb.length; i++) {
                int from = pixel(i / 3 % image.width, i / 3 / image.width, turns, mirrored, WIDTH, HEIGHT);
                assertEquals(RGB[3 * from + i % 3], rgb[i], degrees + " " + mirrored + " " + i);
            }
        }
    }

    @Test
    void turnsAddUpInTheOrderInWhichTheyAreAsked() {
        for (int first = 0; first < 360; first += 90) {
            for (int second = 0; second < 360; second += 90) {
                Image once = plain().rotated(first).mirrored().toImage();
                byte[] step = Frame.rgb(once.rgb(), once.width, once.height).rotated(second).toImage().rgb();
                assertArrayEquals(step, plain().rotated(first).mirrored().rotated(second).toImage().rgb());
            }
        }
        assertArrayEquals(RGB, plain().mirrored().mirrored().toImage().rgb());
    }

    @ParameterizedTest
    @CsvSource({"7, 5", "8, 5", "7, 6", "1, 1", "2, 2"})
    void planesOfVideoWithOddSizesAndStrides(int width, int height) {
        int halfWidth = (width + 1) / 2;
        int halfHeight = (height + 1) / 2;
        byte[] luma = bytes(width * height);
        byte[] cb = bytes(halfWidth * halfHeight + 1000);
        byte[] cr = bytes(halfWidth * halfHeight + 2000);
        byte[] expected = Frame.yuv420(
                        width,
                        height,
                        ByteBuffer.wrap(luma),
                        width,
                        ByteBuffer.wrap(cb),
                        ByteBuffer.wrap(cr),
                        halfWidth,
                        1,
                        YuvColor.BT601_FULL)
                .toImage()
                .rgb();
        // NV21 as cameras give it: Cr and Cb alternate, rows are padded, and the last row ends with its last value.
        int stride = 2 * halfWidth + 3;
        byte[] alternating = new byte[(halfHeight - 1) * stride + 2 * halfWidth];
        byte[] padded = new byte[height * (width + 9)];
        for (int i = 0; i < halfWidth * halfHeight; i++) {
            alternating[i / halfWidth * stride + 2 * (i % halfWidth)] = cr[i];
            alternating[i / halfWidth * stride + 2 * (i % halfWidth) + 1] = cb[i];
        }
        for (int i = 0; i < luma.length; i++) {
            padded[i / width * (width + 9) + i % width] = luma[i];
        }
        ByteBuffer second = ByteBuffer.wrap(alternating);
        second.position(1);
        Frame frame = Frame.yuv420(
                width,
                height,
                ByteBuffer.wrap(padded),
                width + 9,
                second,
                ByteBuffer.wrap(alternating),
                stride,
                2,
                YuvColor.BT601_FULL);
        assertArrayEquals(expected, frame.toImage().rgb());
    }

    @ParameterizedTest
    @CsvSource({
        "BT601_FULL, 255, 128, 128, 255, 255, 255",
        "BT601_FULL, 76, 85, 255, 254, 0, 0",
        "BT601_LIMITED, 16, 128, 128, 0, 0, 0",
        "BT601_LIMITED, 235, 128, 128, 255, 255, 255",
        "BT601_LIMITED, 81, 90, 240, 254, 0, 0",
        "BT709_LIMITED, 63, 102, 240, 255, 1, 0",
        "BT709_FULL, 54, 99, 255, 254, 0, 0",
    })
    void colorsByTheStandards(YuvColor color, int y, int u, int v, int red, int green, int blue) {
        byte[] rgb = new byte[3];
        color.convert(new byte[] {(byte) y}, new byte[] {(byte) u}, new byte[] {(byte) v}, 1, rgb, 1);
        assertEquals(red, rgb[0] & 255, 1);
        assertEquals(green, rgb[1] & 255, 1);
        assertEquals(blue, rgb[2] & 255, 1);
    }

    private static void assertRefused(String part, org.junit.jupiter.api.function.Executable executable) {
        String message = assertThrows(InputException.class, executable).getMessage();
        assertTrue(message.startsWith("expected") && message.contains(part), message);
    }

    @Test
    void oneFrameInSeveralThreads() {
        byte[] large = bytes(300 * 200 * 3);
        Frame frame = Frame.rgb(large, 300, 200);
        byte[] turned = frame.rotated(90).toImage().rgb();
        IntStream.range(0, 64).parallel().forEach(i -> {
            boolean upright = i % 2 == 0;
            byte[] found = (upright ? frame : frame.rotated(90)).toImage().rgb();
            assertArrayEquals(upright ? large : turned, found);
        });
    }

    @Test
    void whatIsNoFrameIsRefused() {
        ByteBuffer buffer = ByteBuffer.wrap(RGB);
        assertRefused("0 x 5", () -> Frame.rgb(RGB, 0, 5));
        assertRefused("7 x -5", () -> Frame.rgb(RGB, 7, -5));
        assertRefused("100000 x 100000", () -> Frame.rgb(RGB, 100_000, 100_000));
        assertRefused("2147483647 x 2147483647", () -> Frame.rgb(RGB, Integer.MAX_VALUE, Integer.MAX_VALUE));
        assertRefused("got 105", () -> Frame.rgb(RGB, 7, 6));
        assertRefused("got 2", () -> Frame.packed(buffer, 7, 5, 2, 21));
        assertRefused("got 20", () -> Frame.packed(buffer, 7, 5, 3, 20));
        assertRefused("got -21", () -> Frame.packed(buffer, 7, 5, 3, -21));
        assertRefused("row stride", () -> Frame.packed(buffer, 7, 5, 3, Long.MAX_VALUE));
        assertRefused("got 105", () -> Frame.packed(buffer, 7, 5, 3, Integer.MAX_VALUE));
        assertRefused("got 45", () -> plain().rotated(45));
        assertRefused(
                "of Cb", () -> Frame.yuv420(7, 5, buffer, 7, ByteBuffer.allocate(11), buffer, 4, 1, YuvColor.BT601_FULL));
        assertRefused(
                "of Cr", () -> Frame.yuv420(7, 5, buffer, 7, buffer, ByteBuffer.allocate(1), 4, 1, YuvColor.BT601_FULL));
        assertRefused("got 0", () -> Frame.yuv420(7, 5, buffer, 7, buffer, buffer, 4, 0, YuvColor.BT601_FULL));
    }

    @Test
    void tensorsHaveAsManyValuesAsTheirShape() {
        assertArrayEquals(new int[] {2, 3}, new Tensor(new float[6], 2, 3).shape());
        assertThrows(UsageException.class, () -> new Tensor(new float[6], 2, 4));
        assertThrows(UsageException.class, () -> new Tensor(new float[6], -2, -3));
        assertThrows(UsageException.class, () -> new Tensor(new float[0], Integer.MAX_VALUE, Integer.MAX_VALUE, 4));
    }
}
