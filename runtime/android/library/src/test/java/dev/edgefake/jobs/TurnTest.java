package dev.edgefake.jobs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.edgefake.core.Frame;
import dev.edgefake.core.UsageException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TurnTest {
    /** A phone's back camera has its sensor at 90 degrees, its front camera at 270; a tablet's may have 0. */
    @ParameterizedTest
    @CsvSource({
        "90, 0, false, 90",
        "90, 90, false, 0",
        "90, 180, false, 270",
        "90, 270, false, 180",
        "270, 0, true, 270",
        "270, 90, true, 0",
        "270, 180, true, 90",
        "270, 270, true, 180",
        "0, 0, false, 0",
        "0, 270, false, 90",
        "0, 270, true, 270"
    })
    void degrees(int sensor, int display, boolean front, int expected) {
        assertEquals(expected, Turn.degrees(sensor, display, front));
    }

    @Test
    void noOrientations() {
        assertThrows(UsageException.class, () -> Turn.degrees(45, 0, false));
        assertThrows(UsageException.class, () -> Turn.degrees(90, 1, false)); // Surface.ROTATION_90
        assertThrows(UsageException.class, () -> Turn.degrees(360, 0, false));
        assertThrows(UsageException.class, () -> Turn.degrees(90, -90, true));
        assertThrows(dev.edgefake.core.InputException.class, () -> Turn.upright(grey(1, 2), 30, false));
    }

    private static Frame grey(int... values) {
        byte[] rgb = new byte[3 * values.length];
        for (int i = 0; i < rgb.length; i++) {
            rgb[i] = (byte) values[i / 3];
        }
        return Frame.rgb(rgb, values.length, 1);
    }

    private static byte[] reds(Frame frame) {
        byte[] rgb = frame.toImage().rgb();
        byte[] reds = new byte[rgb.length / 3];
        for (int i = 0; i < reds.length; i++) {
            reds[i] = rgb[3 * i];
        }
        return reds;
    }

    @Test
    void turnedBeforeItIsMirrored() {
        Frame row = grey(1, 2);
        assertArrayEquals(new byte[] {1, 2}, reds(Turn.upright(row, 90, false))); // upright: 1 above 2
        assertArrayEquals(new byte[] {1, 2}, reds(Turn.upright(row, 90, true))); // a column mirrored is itself
        assertArrayEquals(new byte[] {2, 1}, reds(Turn.upright(row, 270, true)));
        assertArrayEquals(new byte[] {2, 1}, reds(Turn.upright(row, 180, false)));
        assertArrayEquals(new byte[] {1, 2}, reds(Turn.upright(row, 180, true)));
        assertEquals(1, Turn.upright(row, 90, false).width());
    }
}
