package dev.edgefake.android;

import android.graphics.Bitmap;
import dev.edgefake.core.Frame;
import dev.edgefake.core.InputException;
import java.nio.Buffer;
import java.nio.ByteBuffer;

/** Bitmaps as frames. */
public final class Bitmaps {
    private Bitmaps() {}

    /**
     * Copies a bitmap, which may be recycled as soon as this returns.
     *
     * @param bitmap of any configuration, hardware bitmaps as well. Alpha is left out: what is transparent is black.
     *     Values are taken as they are in its colour space, as OpenCV takes those of a file.
     * @throws InputException it was recycled, or the memory does not hold a copy.
     */
    public static Frame copy(Bitmap bitmap) {
        Bitmap plain = null;
        try {
            if (bitmap.isRecycled()) {
                throw new IllegalStateException("a recycled bitmap");
            }
            plain = bitmap;
            if (bitmap.getConfig() != Bitmap.Config.ARGB_8888) {
                plain = bitmap.copy(Bitmap.Config.ARGB_8888, false);
            }
            if (plain == null) {
                throw new InputException("expected a bitmap that can be copied to ARGB_8888, got " + bitmap.getConfig()
                        + "; decode it with that configuration");
            }
            int stride = plain.getRowBytes();
            long size = (long) stride * plain.getHeight();
            if ((long) plain.getWidth() * plain.getHeight() > Frame.MAX_PIXELS || size > Integer.MAX_VALUE) {
                throw new InputException("expected a bitmap of at most " + Frame.MAX_PIXELS / 1_000_000
                        + " million pixels, got " + plain.getWidth() + " x " + plain.getHeight() + "; scale it down");
            }
            ByteBuffer bytes = ByteBuffer.allocate((int) size);
            plain.copyPixelsToBuffer(bytes);
            ((Buffer) bytes).rewind(); // through Buffer, whose method every version of the class library has
            return Frame.packed(bytes, plain.getWidth(), plain.getHeight(), 4, stride);
        } catch (IllegalStateException error) {
            throw new InputException(
                    "expected a bitmap, got one that was recycled; keep it until this call returns", error);
        } catch (OutOfMemoryError error) {
            throw new InputException("expected a bitmap that fits into memory twice, got one of " + bitmap.getWidth()
                    + " x " + bitmap.getHeight() + "; scale it down", error);
        } finally {
            if (plain != null && plain != bitmap) {
                plain.recycle();
            }
        }
    }
}
