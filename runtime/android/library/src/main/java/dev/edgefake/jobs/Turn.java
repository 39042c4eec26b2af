package dev.edgefake.jobs;

import dev.edgefake.core.Frame;
import dev.edgefake.core.UsageException;

/** How camera frames become upright. */
public final class Turn {
    private Turn() {}

    /**
     * By how much a camera's frame is to be turned clockwise to stand upright on the display.
     *
     * @param sensor the camera's SENSOR_ORIENTATION, degrees: 0, 90, 180 or 270.
     * @param display degrees of the display's rotation: 0, 90, 180, 270 for Surface.ROTATION_0, _90, _180, _270.
     * @param front whether the camera looks at the one who holds the device.
     * @throws UsageException no multiples of 90 from 0 to 270.
     */
    public static int degrees(int sensor, int display, boolean front) {
        if (sensor % 90 != 0 || display % 90 != 0 || Math.min(sensor, display) < 0 || Math.max(sensor, display) > 270) {
            throw new UsageException("expected orientations of 0, 90, 180 or 270 degrees, got " + sensor + " and "
                    + display + "; for Surface.ROTATION_90 give 90");
        }
        return (front ? sensor + display : sensor - display + 360) % 360;
    }

    /** Turned clockwise first, then left and right exchanged. */
    public static Frame upright(Frame frame, int degrees, boolean mirrored) {
        Frame turned = frame.rotated(degrees);
        return mirrored ? turned.mirrored() : turned;
    }
}
