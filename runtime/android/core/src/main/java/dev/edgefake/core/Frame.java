package dev.edgefake.core;

import java.nio.Buffer;
import java.nio.ByteBuffer;

/**
 * A frame as a camera, decoder or bitmap gives it: bytes with a stride, and how to turn them upright.
 *
 * <p>The bytes are read when the frame is judged, not before, and only then: what they are must not change or be freed
 * until {@link Detector.Run#add} returns. Nothing is written to them, and a buffer's position and limit stay.
 */
public final class Frame {
    /** Most pixels of a frame: 100 million. */
    public static final int MAX_PIXELS = 100_000_000;

    /** Turns rows of the source into RGB. */
    private interface Rows {
        void read(int row, byte[] rgb);
    }

    private final Rows rows;
    private final int width;
    private final int height;
    private final int rotation;
    private final boolean mirrored;

    private Frame(Rows rows, int width, int height, int rotation, boolean mirrored) {
        this.rows = rows;
        this.width = width;
        this.height = height;
        this.rotation = rotation;
        this.mirrored = mirrored;
    }

    /**
     * Packed RGB bytes without gaps between the rows.
     *
     * @param pixels R, G, B of the upper left pixel, then of the one to its right.
     * @param width pixels.
     * @param height pixels.
     * @throws InputException impossible sizes, or fewer bytes than they need.
     */
    public static Frame rgb(byte[] pixels, int width, int height) {
        return packed(ByteBuffer.wrap(pixels), width, height, 3, (long) width * 3);
    }

    /**
     * Bytes of R, G, B and perhaps a fourth value that is left out (such as alpha: a bitmap's ARGB_8888 lies in memory
     * as R, G, B, A).
     *
     * @param pixels from its position on; need not have an array.
     * @param width pixels.
     * @param height pixels.
     * @param pixelStride bytes from a pixel to the next: 3 or 4.
     * @param rowStride bytes from a row to the next, at least width * pixelStride.
     * @throws InputException impossible sizes or strides, or fewer bytes than they need.
     */
    public static Frame packed(ByteBuffer pixels, int width, int height, int pixelStride, long rowStride) {
        checkSize(width, height);
        if (pixelStride != 3 && pixelStride != 4) {
            throw new InputException("expected 3 or 4 bytes a pixel, got " + pixelStride + "; convert the frame to RGB");
        }
        Plane plane = new Plane(pixels, width, height, pixelStride, rowStride, 3, "RGB");
        return new Frame(
                (row, rgb) -> {
                    byte[] line = plane.row(row);
                    for (int x = 0, from = 0, to = 0; x < plane.width; x++, from += pixelStride, to += 3) {
                        rgb[to] = line[from];
                        rgb[to + 1] = line[from + 1];
                        rgb[to + 2] = line[from + 2];
                    }
                },
                width,
                height,
                0,
                false);
    }

    /**
     * Planes of luma and of half as many rows and columns (rounded up) of chroma: I420, NV12, NV21, YUV_420_888.
     *
     * @param width pixels.
     * @param height pixels.
     * @param luma Y from its position on, a byte a pixel.
     * @param lumaStride bytes from a row to the next.
     * @param cb Cb (U) from its position on.
     * @param cr Cr (V) from its position on.
     * @param chromaStride bytes from a row of Cb or Cr to the next.
     * @param chromaPixelStride bytes from one Cb or Cr to the next: 1 where they are planes, 2 where they alternate.
     * @param color how the values stand for colours.
     * @throws InputException impossible sizes or strides, or fewer bytes than they need.
     */
    public static Frame yuv420(
            int width,
            int height,
            ByteBuffer luma,
            long lumaStride,
            ByteBuffer cb,
            ByteBuffer cr,
            long chromaStride,
            int chromaPixelStride,
            YuvColor color) {
        checkSize(width, height);
        if (chromaPixelStride < 1 || chromaPixelStride > 4) {
            throw new InputException("expected 1 to 4 bytes from Cb to Cb, got " + chromaPixelStride);
        }
        int halfWidth = (width + 1) / 2;
        int halfHeight = (height + 1) / 2;
        Plane y = new Plane(luma, width, height, 1, lumaStride, 1, "Y");
        Plane u = new Plane(cb, halfWidth, halfHeight, chromaPixelStride, chromaStride, 1, "Cb");
        Plane v = new Plane(cr, halfWidth, halfHeight, chromaPixelStride, chromaStride, 1, "Cr");
        return new Frame(
                (row, rgb) -> color.convert(y.row(row), u.row(row / 2), v.row(row / 2), chromaPixelStride, rgb, y.width),
                width,
                height,
                0,
                false);
    }

    /**
     * The same bytes, to be turned before they are looked at, on top of what was asked for before.
     *
     * @param degrees clockwise: a multiple of 90, of any sign.
     * @throws InputException no multiple of 90.
     */
    public Frame rotated(int degrees) {
        if (degrees % 90 != 0) {
            throw new InputException("expected a rotation by a multiple of 90 degrees, got " + degrees);
        }
        int turn = Math.floorMod(mirrored ? -degrees : degrees, 360);
        return new Frame(rows, width, height, (rotation + turn) % 360, mirrored);
    }

    /** The same bytes, with left and right exchanged after all that was asked for before. */
    public Frame mirrored() {
        return new Frame(rows, width, height, rotation, !mirrored);
    }

    /** Width of the upright frame, pixels. */
    public int width() {
        return rotation % 180 == 0 ? width : height;
    }

    /** Height of the upright frame, pixels. */
    public int height() {
        return rotation % 180 == 0 ? height : width;
    }

    /**
     * Reads the bytes and turns them upright.
     *
     * @throws InputException the memory does not hold it, or the bytes are gone.
     */
    public Image toImage() {
        try {
            byte[] rgb = new byte[3 * width * height];
            byte[] line = new byte[3 * width];
            // Where the source's pixel (column, row) goes: start + column * across + row * down.
            int last = width * height - 1;
            int across = 1;
            int down = width;
            int start = 0;
            switch (rotation) {
                case 90:
                    across = height;
                    down = -1;
                    start = height - 1;
                    break;
                case 180:
                    across = -1;
                    down = -width;
                    start = last;
                    break;
                case 270:
                    across = -height;
                    down = 1;
                    start = last - (height - 1);
                    break;
                default:
                    break;
            }
            synchronized (rows) { // which keep their place in the buffer, and are shared with turned frames
                for (int row = 0; row < height; row++) {
                    rows.read(row, line);
                    place(line, rgb, start + row * down, across);
                }
            }
            return new Image(rgb, width(), height());
        } catch (OutOfMemoryError error) {
            throw new InputException(
                    "expected a frame that fits into memory, got " + width + " x " + height + "; scale it down", error);
        } catch (IndexOutOfBoundsException | IllegalStateException | java.nio.BufferUnderflowException error) {
            throw new InputException(
                    "expected the bytes of a frame, got a buffer that changed or was freed; keep it until it is judged",
                    error);
        }
    }

    private void place(byte[] line, byte[] rgb, int start, int across) {
        int sideways = width();
        for (int x = 0, to = start; x < width; x++, to += across) {
            int pixel = mirrored ? to + sideways - 1 - 2 * (to % sideways) : to;
            rgb[3 * pixel] = line[3 * x];
            rgb[3 * pixel + 1] = line[3 * x + 1];
            rgb[3 * pixel + 2] = line[3 * x + 2];
        }
    }

    private static void checkSize(int width, int height) {
        if (width < 1 || height < 1 || (long) width * height > MAX_PIXELS) {
            throw new InputException("expected a frame of 1 to " + MAX_PIXELS / 1_000_000 + " million pixels, got "
                    + width + " x " + height);
        }
    }

    /** Rows of bytes inside a buffer. */
    private static final class Plane {
        private final ByteBuffer bytes;
        private final int start;
        private final int width;
        private final long rowStride;
        private final byte[] line;

        Plane(ByteBuffer source, int width, int height, int pixelStride, long rowStride, int pixel, String name) {
            int used = (width - 1) * pixelStride + pixel;
            if (rowStride < used || rowStride > Integer.MAX_VALUE) {
                throw new InputException("expected a row stride of " + used + " bytes or more of " + name + ", got "
                        + rowStride + "; check width, format and stride");
            }
            long needed = (height - 1) * rowStride + used;
            if (source.remaining() < needed) {
                throw new InputException("expected " + needed + " bytes of " + name + ", got " + source.remaining()
                        + "; check width, height, format and stride");
            }
            this.bytes = source.duplicate();
            this.start = source.position();
            this.width = width;
            this.rowStride = rowStride;
            this.line = new byte[used];
        }

        /** The bytes of a row; overwritten by the next call. */
        byte[] row(int row) {
            // Through Buffer, whose method every version of the class library has.
            ((Buffer) bytes).position((int) (start + row * rowStride));
            bytes.get(line);
            return line;
        }
    }
}
