package dev.edgefake.android;

import android.graphics.ImageFormat;
import android.graphics.Rect;
import androidx.camera.core.ImageProxy;
import dev.edgefake.core.Frame;
import dev.edgefake.core.InputException;
import dev.edgefake.core.YuvColor;
import dev.edgefake.jobs.Yuv420;

/** Frames of CameraX, for apps that bring it along: this library does not. */
public final class CameraXImages {
    private CameraXImages() {}

    /**
     * Copies the visible part of a frame, which may be closed as soon as this returns.
     *
     * @param image YUV_420_888, what an ImageAnalysis gives unless it is asked for another format.
     * @throws InputException another format, or a frame that was closed.
     */
    public static Frame copy(ImageProxy image) {
        try {
            if (image.getFormat() != ImageFormat.YUV_420_888) {
                throw new InputException("expected a frame of YUV_420_888, got format " + image.getFormat()
                        + "; leave out setOutputImageFormat");
            }
            ImageProxy.PlaneProxy[] planes = image.getPlanes();
            Rect part = image.getCropRect();
            return Yuv420.copy(
                    part.left, part.top, part.right, part.bottom, plane(planes[0]), plane(planes[1]), plane(planes[2]),
                    YuvColor.BT601_FULL);
        } catch (IllegalStateException error) {
            throw new InputException("expected a frame, got one that was closed; close it after this call", error);
        }
    }

    /**
     * Offers a frame to a run, turned as CameraX says.
     *
     * @param image YUV_420_888.
     * @return whether it is judged.
     * @throws InputException it was closed, or is of another format.
     */
    public static boolean offer(CameraRun run, ImageProxy image) {
        return run.offer(
                image.getImageInfo().getTimestamp(),
                () -> copy(image).rotated(image.getImageInfo().getRotationDegrees()));
    }

    private static Yuv420.Plane plane(ImageProxy.PlaneProxy plane) {
        return new Yuv420.Plane(plane.getBuffer(), plane.getRowStride(), plane.getPixelStride());
    }
}
