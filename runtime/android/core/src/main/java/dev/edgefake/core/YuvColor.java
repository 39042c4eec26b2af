package dev.edgefake.core;

/**
 * How Y, Cb and Cr stand for colours: the matrix (BT.601 or BT.709) and the range (full: 0 to 255, as cameras give;
 * limited: 16 to 235, as most videos have). Chroma is taken from the nearest sample.
 */
public enum YuvColor {
    /** Cameras and JPEG. */
    BT601_FULL(0.299, 0.114, true),
    /** Videos of standard definition, and all that OpenCV takes for YUV 4:2:0. */
    BT601_LIMITED(0.299, 0.114, false),
    /** HD, full range. */
    BT709_FULL(0.2126, 0.0722, true),
    /** HD videos. */
    BT709_LIMITED(0.2126, 0.0722, false);

    private static final int SHIFT = 20;
    private static final int HALF = 1 << (SHIFT - 1);

    private final int black;
    private final int gain;
    private final int redFromCr;
    private final int greenFromCb;
    private final int greenFromCr;
    private final int blueFromCb;

    YuvColor(double red, double blue, boolean full) {
        double one = 1 << SHIFT;
        double luma = full ? 1 : 255.0 / 219;
        double chroma = full ? 1 : 255.0 / 224;
        double green = 1 - red - blue;
        black = full ? 0 : 16;
        gain = (int) Math.rint(one * luma);
        redFromCr = (int) Math.rint(one * chroma * 2 * (1 - red));
        blueFromCb = (int) Math.rint(one * chroma * 2 * (1 - blue));
        greenFromCb = (int) Math.rint(one * chroma * 2 * (1 - blue) * blue / green);
        greenFromCr = (int) Math.rint(one * chroma * 2 * (1 - red) * red / green);
    }

    /** One row: width Y, half as many Cb and Cr every so many bytes, to R, G, B. */
    void convert(byte[] luma, byte[] cb, byte[] cr, int step, byte[] rgb, int width) {
        for (int x = 0, to = 0; x < width; x++, to += 3) {
            int at = x / 2 * step;
            int u = (cb[at] & 255) - 128;
            int v = (cr[at] & 255) - 128;
            int y = Math.max((luma[x] & 255) - black, 0) * gain + HALF;
            rgb[to] = clamp((y + redFromCr * v) >> SHIFT);
            rgb[to + 1] = clamp((y - greenFromCb * u - greenFromCr * v) >> SHIFT);
            rgb[to + 2] = clamp((y + blueFromCb * u) >> SHIFT);
        }
    }

    private static byte clamp(int value) {
        return (byte) (value < 0 ? 0 : Math.min(value, 255));
    }
}
