package dev.edgefake.android;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import android.graphics.Bitmap;
import dev.edgefake.core.Frame;
import dev.edgefake.core.InputException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Bitmaps of every configuration, and those that are recycled underneath. */
class BitmapsTest {
    private static final int WIDTH = 3;
    private static final int HEIGHT = 2;
    private static final int STRIDE = 4 * WIDTH + 5;

    private static Bitmap bitmap(Bitmap.Config config) {
        byte[] pixels = new byte[STRIDE * HEIGHT];
        for (int i = 0; i < pixels.length; i++) {
            pixels[i] = (byte) (7 * i);
        }
        return new Bitmap(config, WIDTH, HEIGHT, STRIDE, pixels);
    }

    private static byte[] expected() {
        byte[] rgb = new byte[3 * WIDTH * HEIGHT];
        for (int i = 0; i < rgb.length; i++) {
            int pixel = i / 3;
            rgb[i] = (byte) (7 * (pixel / WIDTH * STRIDE + 4 * (pixel % WIDTH) + i % 3));
        }
        return rgb;
    }

    @ParameterizedTest
    @EnumSource(Bitmap.Config.class)
    void everyConfigurationWithPaddedRows(Bitmap.Config config) {
        Bitmap bitmap = bitmap(config);
        Frame frame = Bitmaps.copy(bitmap);
        assertFalse(bitmap.isRecycled(), "it is the app's");
        if (config == Bitmap.Config.ARGB_8888) {
            assertNull(bitmap.copied);
        } else {
            assertTrue(bitmap.copied.isRecycled(), "the copy is left");
        }
        bitmap.recycle();
        assertArrayEquals(expected(), frame.toImage().rgb());
    }

    @Test
    void recycledBefore() {
        for (Bitmap.Config config : new Bitmap.Config[] {Bitmap.Config.ARGB_8888, Bitmap.Config.HARDWARE}) {
            Bitmap bitmap = bitmap(config);
            bitmap.recycle();
            refused(bitmap, "recycled");
        }
    }

    @Test
    void recycledUnderneath() {
        Bitmap bitmap = bitmap(Bitmap.Config.ARGB_8888);
        bitmap.meanwhile = bitmap::recycle;
        refused(bitmap, "recycled");
    }

    @Test
    void whatCannotBeCopied() {
        refused(new Bitmap(Bitmap.Config.HARDWARE, WIDTH, HEIGHT, STRIDE, null), "got HARDWARE");
        refused(new Bitmap(Bitmap.Config.ARGB_8888, 1 << 15, 1 << 14, 1 << 17, null), "32768 x 16384"); // 2^31 bytes
        refused(new Bitmap(Bitmap.Config.ARGB_8888, 1 << 16, 1 << 14, 1 << 18, null), "65536 x 16384"); // 2^32
    }

    private static void refused(Bitmap bitmap, String part) {
        String message = assertThrows(InputException.class, () -> Bitmaps.copy(bitmap)).getMessage();
        assertTrue(message.startsWith("expected ") && message.contains(part), message);
        assertEquals(-1, message.indexOf('\n'));
    }
}
