package dev.edgefake.jobs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.edgefake.core.Frame;
import dev.edgefake.core.InputException;
import dev.edgefake.core.YuvColor;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Copies of planes with strides, against the same values without any. */
class Yuv420Test {
    private static final YuvColor COLOR = YuvColor.BT601_LIMITED;

    private final Random random = new Random(5);
    private int width;
    private int height;
    private byte[] y;
    private byte[] cb;
    private byte[] cr;

    private void noise(int wide, int high) {
        width = wide;
        height = high;
        y = bytes(wide * high);
        cb = bytes((wide + 1) / 2 * ((high + 1) / 2));
        cr = bytes(cb.length);
    }

    private byte[] bytes(int count) {
        byte[] bytes = new byte[count];
        random.nextBytes(bytes);
        return bytes;
    }

    /** Values with gaps, ending with the last value, after some bytes that do not belong to it. */
    private Yuv420.Plane plane(byte[] values, int columns, int pixelStride, int padding, boolean direct) {
        int rows = values.length / columns;
        int rowStride = columns * pixelStride + padding;
        int before = 7;
        int size = before + (rows - 1) * rowStride + (columns - 1) * pixelStride + 1;
        ByteBuffer bytes = direct ? ByteBuffer.allocateDirect(size) : ByteBuffer.allocate(size);
        bytes.put(bytes(size)).position(before);
        for (int i = 0; i < values.length; i++) {
            bytes.put(before + i / columns * rowStride + i % columns * pixelStride, values[i]);
        }
        return new Yuv420.Plane(bytes, rowStride, pixelStride);
    }

    private byte[] rgb(int left, int top, int right, int bottom) {
        byte[] whole = Frame.yuv420(
                        width,
                        height,
                        ByteBuffer.wrap(y),
                        width,
                        ByteBuffer.wrap(cb),
                        ByteBuffer.wrap(cr),
                        (width + 1) / 2,
                        1,
                        COLOR)
                .toImage()
                .rgb();
        byte[] part = new byte[3 * (right - left) * (bottom - top)];
        for (int row = top; row < bottom; row++) {
            int size = 3 * (right - left);
            System.arraycopy(whole, 3 * (row * width + left), part, (row - top) * size, size);
        }
        return part;
    }

    @ParameterizedTest
    @CsvSource({"1, 0", "1, 13", "2, 0", "2, 5", "3, 1", "4, 64"})
    void stridesChangeNothing(int chromaPixels, int padding) {
        for (int[] size : new int[][] {{1, 1}, {2, 2}, {7, 5}, {16, 9}, {33, 48}}) {
            noise(size[0], size[1]);
            for (boolean direct : new boolean[] {false, true}) {
                for (int lumaPixels : new int[] {1, 2}) {
                    Frame frame = Yuv420.copy(
                            0,
                            0,
                            width,
                            height,
                            plane(y, width, lumaPixels, padding, direct),
                            plane(cb, (width + 1) / 2, chromaPixels, padding, direct),
                            plane(cr, (width + 1) / 2, chromaPixels, padding, direct),
                            COLOR);
                    assertArrayEquals(rgb(0, 0, width, height), frame.toImage().rgb());
                }
            }
        }
    }

    /** NV21 as cameras lend it: Cb and Cr in one buffer, one value apart, either view one byte short. */
    @Test
    void planesThatLieInEachOther() {
        noise(18, 10);
        byte[] both = new byte[2 * cb.length];
        for (int i = 0; i < cb.length; i++) {
            both[2 * i] = cr[i];
            both[2 * i + 1] = cb[i];
        }
        ByteBuffer red = ByteBuffer.wrap(both, 0, both.length - 1);
        ByteBuffer blue = ByteBuffer.wrap(both, 1, both.length - 1);
        Frame frame = Yuv420.copy(
                0,
                0,
                18,
                10,
                plane(y, 18, 1, 6, true),
                new Yuv420.Plane(blue, 18, 2),
                new Yuv420.Plane(red, 18, 2),
                COLOR);
        assertArrayEquals(rgb(0, 0, 18, 10), frame.toImage().rgb());
        assertEquals(0, red.position());
        assertEquals(1, blue.position());
    }

    @ParameterizedTest
    @CsvSource({"0, 0, 20, 12", "4, 2, 20, 12", "2, 6, 17, 11", "3, 5, 20, 12", "19, 11, 20, 12"})
    void theVisiblePart(int left, int top, int right, int bottom) {
        noise(20, 12);
        Frame frame = Yuv420.copy(
                left,
                top,
                right,
                bottom,
                plane(y, 20, 1, 3, false),
                plane(cb, 10, 2, 3, false),
                plane(cr, 10, 2, 3, false),
                COLOR);
        assertEquals(right - left / 2 * 2, frame.width());
        assertEquals(bottom - top / 2 * 2, frame.height());
        assertArrayEquals(rgb(left / 2 * 2, top / 2 * 2, right, bottom), frame.toImage().rgb());
    }

    @Test
    void theCopyOutlivesItsSource() {
        noise(16, 16);
        byte[] expected = rgb(0, 0, 16, 16);
        Yuv420.Plane luma = plane(y, 16, 1, 0, false);
        Frame frame = Yuv420.copy(
                0, 0, 16, 16, luma, plane(cb, 8, 1, 0, false), plane(cr, 8, 1, 0, false), COLOR);
        Arrays.fill(luma.bytes.array(), (byte) 0);
        assertArrayEquals(expected, frame.toImage().rgb());
    }

    private void refused(int left, int top, int right, int bottom, Yuv420.Plane luma, Yuv420.Plane blue) {
        String message = assertThrows(
                        InputException.class,
                        () -> Yuv420.copy(
                                left, top, right, bottom, luma, blue, plane(cr, (width + 1) / 2, 1, 0, false), COLOR))
                .getMessage();
        assertTrue(message.startsWith("expected ") && message.contains(", got "), message);
    }

    @Test
    void badInput() {
        noise(10, 6);
        Yuv420.Plane luma = plane(y, 10, 1, 0, false);
        Yuv420.Plane blue = plane(cb, 5, 1, 0, false);
        refused(0, 0, 0, 6, luma, blue);
        refused(0, 0, 10, 0, luma, blue);
        refused(-2, 0, 10, 6, luma, blue);
        refused(0, 0, 10, 8, luma, blue);
        refused(0, 0, 12, 6, luma, blue);
        refused(0, 0, Integer.MAX_VALUE, Integer.MAX_VALUE, luma, blue);
        refused(0, 0, 10, 6, new Yuv420.Plane(luma.bytes, 0, 1), blue);
        refused(0, 0, 10, 6, new Yuv420.Plane(luma.bytes, 10, 0), blue);
        refused(0, 0, 10, 6, new Yuv420.Plane(luma.bytes, Integer.MAX_VALUE, 1), blue);
        refused(0, 0, 10, 6, luma, new Yuv420.Plane(ByteBuffer.allocate(3), 5, 1));
        refused(0, 0, 10, 6, luma, new Yuv420.Plane(blue.bytes, 5, 2));
    }
}
