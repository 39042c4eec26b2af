package dev.edgefake.jobs;

import dev.edgefake.core.Frame;
import dev.edgefake.core.InputException;
import dev.edgefake.core.YuvColor;
import java.nio.Buffer;
import java.nio.ByteBuffer;

/** Copies frames of YUV_420_888, as cameras and decoders lend them, so that they can be given back at once. */
public final class Yuv420 {
    private Yuv420() {}

    /** Bytes of Y, Cb or Cr. */
    public static final class Plane {
        final ByteBuffer bytes;
        final int rowStride;
        final int pixelStride;

        /**
         * @param bytes from its position on; the last row may end with its last value.
         * @param rowStride bytes from a row to the next.
         * @param pixelStride bytes from a value to the next.
         */
        public Plane(ByteBuffer bytes, int rowStride, int pixelStride) {
            this.bytes = bytes;
            this.rowStride = rowStride;
            this.pixelStride = pixelStride;
        }

        /** Values of columns and rows, without gaps. */
        byte[] copy(String name, int column, int row, int columns, int rows) {
            if (pixelStride < 1 || rowStride < 1) {
                throw new InputException("expected strides of 1 or more of " + name + ", got " + pixelStride + " and "
                        + rowStride);
            }
            int used = (columns - 1) * pixelStride + 1;
            long start = (long) row * rowStride + (long) column * pixelStride;
            long end = start + (long) (rows - 1) * rowStride + used;
            if (end > bytes.remaining()) {
                throw new InputException("expected " + end + " bytes of " + name + ", got " + bytes.remaining()
                        + "; check the size, the crop and the strides");
            }
            ByteBuffer from = bytes.duplicate();
            int first = bytes.position();
            byte[] values = new byte[columns * rows];
            byte[] line = new byte[used];
            for (int y = 0; y < rows; y++) {
                // Through Buffer, whose method every version of the class library has.
                ((Buffer) from).position((int) (first + start + (long) y * rowStride));
                if (pixelStride == 1) {
                    from.get(values, y * columns, columns);
                    continue;
                }
                from.get(line);
                for (int x = 0, at = y * columns; x < columns; x++, at++) {
                    values[at] = line[x * pixelStride];
                }
            }
            return values;
        }
    }

    /**
     * Copies the part of a frame that is meant to be seen.
     *
     * @param left first column; an odd one takes the column before it as well, which shares its colour.
     * @param top first row; likewise.
     * @param right column after the last.
     * @param bottom row after the last.
     * @param y luma of the whole frame.
     * @param cb blue of the whole frame, half as many columns and rows, rounded up.
     * @param cr red.
     * @param color how the values stand for colours.
     * @throws InputException an empty part, impossible strides, or planes that are too short or were freed.
     */
    public static Frame copy(
            int left, int top, int right, int bottom, Plane y, Plane cb, Plane cr, YuvColor color) {
        int x0 = left & ~1;
        int y0 = top & ~1;
        int width = right - x0;
        int height = bottom - y0;
        if (left < 0 || top < 0 || right <= left || bottom <= top || (long) width * height > Frame.MAX_PIXELS) {
            throw new InputException("expected a part of a frame of 1 to " + Frame.MAX_PIXELS / 1_000_000
                    + " million pixels, got columns " + left + " to " + right + ", rows " + top + " to " + bottom);
        }
        int columns = (width + 1) / 2;
        int rows = (height + 1) / 2;
        try {
            return Frame.yuv420(
                    width,
                    height,
                    ByteBuffer.wrap(y.copy("Y", x0, y0, width, height)),
                    width,
                    ByteBuffer.wrap(cb.copy("Cb", x0 / 2, y0 / 2, columns, rows)),
                    ByteBuffer.wrap(cr.copy("Cr", x0 / 2, y0 / 2, columns, rows)),
                    columns,
                    1,
                    color);
        } catch (IllegalStateException | IndexOutOfBoundsException | java.nio.BufferUnderflowException error) {
            throw new InputException(
                    "expected the planes of a frame, got ones that were freed; keep it open until this returns", error);
        } catch (OutOfMemoryError error) {
            throw new InputException(
                    "expected a frame that fits into memory, got " + width + " x " + height + "; take a smaller one",
                    error);
        }
    }
}
