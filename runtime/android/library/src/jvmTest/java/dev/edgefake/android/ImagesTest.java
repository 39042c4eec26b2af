package dev.edgefake.android;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import android.graphics.Rect;
import android.media.Image;
import androidx.camera.core.ImageInfo;
import androidx.camera.core.ImageProxy;
import dev.edgefake.core.Frame;
import dev.edgefake.core.InputException;
import dev.edgefake.core.YuvColor;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Frames of cameras, through Camera2 and CameraX: what is copied of them, and what is refused. */
class ImagesTest {
    static final int YUV_420_888 = 35;
    static final int WIDTH = 6;
    static final int HEIGHT = 4;
    private static final int[] OTHERS = {0x100, 0x20, 0x22, 0x36, 1, 0}; // JPEG, RAW_SENSOR, PRIVATE, P010, RGBA, none
    private static final int STRIDE = 9;

    private static byte[] luma() {
        byte[] luma = new byte[STRIDE * (HEIGHT - 1) + WIDTH]; // the last row ends with its last value
        for (int i = 0; i < luma.length; i++) {
            luma[i] = (byte) (5 * i);
        }
        return luma;
    }

    private static byte[] chroma() {
        byte[] chroma = new byte[STRIDE * (HEIGHT / 2 - 1) + WIDTH - 1];
        Arrays.fill(chroma, (byte) 128);
        return chroma;
    }

    /** All but the first two columns are meant to be seen. */
    private static Rect seen() {
        return new Rect(2, 0, WIDTH, HEIGHT);
    }

    private static byte[] expected() {
        byte[] rgb = new byte[3 * (WIDTH - 2) * HEIGHT];
        for (int i = 0; i < rgb.length; i++) {
            int pixel = i / 3;
            rgb[i] = (byte) (5 * (pixel / (WIDTH - 2) * STRIDE + pixel % (WIDTH - 2) + 2));
        }
        return rgb;
    }

    static Image image(int format, long timestamp) {
        return new Image(
                format,
                timestamp,
                seen(),
                new Image.Plane(luma(), STRIDE, 1),
                new Image.Plane(chroma(), STRIDE, 2),
                new Image.Plane(chroma(), STRIDE, 2));
    }

    /** As CameraX wraps an Image. */
    static final class Proxy implements ImageProxy, ImageInfo {
        private final Image image;
        private final int degrees;
        private final long timestamp;

        Proxy(Image image, int degrees) {
            this.image = image;
            this.degrees = degrees;
            this.timestamp = image.getTimestamp(); // of its own, and there after the image is closed
        }

        @Override
        public int getFormat() {
            return image.getFormat();
        }

        @Override
        public Rect getCropRect() {
            return image.getCropRect();
        }

        @Override
        public PlaneProxy[] getPlanes() {
            return Arrays.stream(image.getPlanes())
                    .map(plane -> new PlaneProxy() {
                        @Override
                        public int getRowStride() {
                            return plane.getRowStride();
                        }

                        @Override
                        public int getPixelStride() {
                            return plane.getPixelStride();
                        }

                        @Override
                        public ByteBuffer getBuffer() {
                            return plane.getBuffer();
                        }
                    })
                    .toArray(PlaneProxy[]::new);
        }

        @Override
        public ImageInfo getImageInfo() {
            return this;
        }

        @Override
        public long getTimestamp() {
            return timestamp;
        }

        @Override
        public int getRotationDegrees() {
            return degrees;
        }

        @Override
        public void close() {
            image.close();
        }
    }

    private static void refused(String part, Executable call) {
        String message = assertThrows(InputException.class, call).getMessage();
        assertTrue(message.startsWith("expected a frame") && message.contains(part), message);
    }

    @Test
    void whatIsMeantToBeSeenIsCopied() {
        Image image = image(YUV_420_888, 0);
        Frame frame = Images.copy(image, YuvColor.BT601_FULL);
        image.close();
        assertArrayEquals(expected(), frame.toImage().rgb());
        Proxy proxy = new Proxy(image(YUV_420_888, 0), 0);
        Frame same = CameraXImages.copy(proxy);
        proxy.close();
        assertArrayEquals(expected(), same.toImage().rgb());
    }

    @Test
    void otherFormats() {
        for (int format : OTHERS) {
            Image image = image(format, 0);
            refused("YUV_420_888, got format " + format + "; ", () -> Images.copy(image, YuvColor.BT601_FULL));
            refused("YUV_420_888, got format " + format + "; ", () -> CameraXImages.copy(new Proxy(image, 0)));
            assertFalse(image.isClosed(), "it is the app's");
        }
    }

    @Test
    void closedImages() {
        Image image = image(YUV_420_888, 0);
        Proxy proxy = new Proxy(image, 0);
        image.close();
        refused("got one that was closed; ", () -> Images.copy(image, YuvColor.BT601_FULL));
        refused("got one that was closed; ", () -> CameraXImages.copy(proxy));
    }
}
