package dev.edgefake.android;

import android.graphics.ImageFormat;
import android.graphics.Rect;
import android.media.Image;
import dev.edgefake.core.Frame;
import dev.edgefake.core.InputException;
import dev.edgefake.core.YuvColor;
import dev.edgefake.jobs.Yuv420;

/** Frames of Camera2 and MediaCodec. */
public final class Images {
    private Images() {}

    /**
     * Copies the visible part of an image, which may be closed as soon as this returns.
     *
     * @param image YUV_420_888, of any strides.
     * @param color how its values stand for colours: BT601_FULL for cameras.
     * @throws InputException another format, or an image that was closed.
     */
    public static Frame copy(Image image, YuvColor color) {
        try {
            if (image.getFormat() != ImageFormat.YUV_420_888) {
                throw new InputException("expected a frame of 8 bits a value, YUV_420_888, got format "
                        + image.getFormat() + "; ask the camera for it, or convert the video");
            }
            Image.Plane[] planes = image.getPlanes();
            Rect part = image.getCropRect();
            return Yuv420.copy(
                    part.left, part.top, part.right, part.bottom, plane(planes[0]), plane(planes[1]), plane(planes[2]),
                    color);
        } catch (IllegalStateException error) {
            throw new InputException("expected a frame, got one that was closed; close it after this call", error);
        }
    }

    private static Yuv420.Plane plane(Image.Plane plane) {
        return new Yuv420.Plane(plane.getBuffer(), plane.getRowStride(), plane.getPixelStride());
    }
}
