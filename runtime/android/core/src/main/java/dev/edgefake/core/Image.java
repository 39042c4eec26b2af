package dev.edgefake.core;

/** An upright picture: RGB, a byte each, rows from the top without gaps. {@link Frame} makes one. */
public final class Image {
    /** Width, pixels. */
    public final int width;

    /** Height, pixels. */
    public final int height;

    /** R, G, B of the first pixel, then of the one to its right; height * width * 3 bytes. Not copied. */
    final byte[] rgb;

    Image(byte[] rgb, int width, int height) {
        this.rgb = rgb;
        this.width = width;
        this.height = height;
    }

    /** A copy of the bytes: R, G, B of the first pixel, then of the one to its right. */
    public byte[] rgb() {
        return rgb.clone();
    }

    /** Copies out the pixels from x0, y0 up to but not including x1, y1. */
    Image cut(int x0, int y0, int x1, int y1) {
        int side = 3 * (x1 - x0);
        byte[] part = new byte[side * (y1 - y0)];
        for (int y = y0; y < y1; y++) {
            System.arraycopy(rgb, 3 * (y * width + x0), part, side * (y - y0), side);
        }
        return new Image(part, x1 - x0, y1 - y0);
    }
}
