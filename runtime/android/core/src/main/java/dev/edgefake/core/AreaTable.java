package dev.edgefake.core;

/**
 * Adaptive averages: the resampling of MTCNN's pyramid and crops, from one summed-area table (Crow, 1984) of the frame.
 *
 * <p>Of n pixels resampled to m, output i is the mean of pixels floor(i n / m) to ceil((i + 1) n / m) - 1, as torch's
 * {@code interpolate(mode="area")}. A mean is the float32 sum, divided by the bin's height, then by its width; from it
 * 127.5 is taken and 1/128 made of the rest, as the networks were trained.
 *
 * <p>Sums are ints that may overflow: differences of them are right as long as a bin holds less than 8.4 million
 * pixels, and the largest, a twelfth of a frame of 100 million either way, holds 0.7.
 */
final class AreaTable {
    private static final float MEAN = 127.5f;
    private static final float SCALE = 0.0078125f;

    final int width;
    final int height;

    /** Sums of all pixels above and to the left: (height + 1, width + 1, 3). */
    private final int[] sums;

    AreaTable(Image image) {
        width = image.width;
        height = image.height;
        int stride = 3 * (width + 1);
        sums = new int[stride * (height + 1)];
        byte[] rgb = image.rgb;
        for (int y = 0, from = 0, to = stride; y < height; y++) {
            int red = 0;
            int green = 0;
            int blue = 0;
            to += 3;
            for (int x = 0; x < width; x++, from += 3, to += 3) {
                red += rgb[from] & 255;
                green += rgb[from + 1] & 255;
                blue += rgb[from + 2] & 255;
                sums[to] = sums[to - stride] + red;
                sums[to + 1] = sums[to - stride + 1] + green;
                sums[to + 2] = sums[to - stride + 2] + blue;
            }
        }
    }

    /** First pixels of the bins: floor(i length / count), and the ends: ceil((i + 1) length / count). */
    private static int[][] bins(int begin, int length, int count) {
        int[][] bins = new int[2][count];
        for (int i = 0; i < count; i++) {
            bins[0][i] = begin + (int) ((long) i * length / count);
            bins[1][i] = begin + (int) (((i + 1L) * length + count - 1) / count);
        }
        return bins;
    }

    /** The whole frame, resampled and normalized: a batch of one. */
    Tensor resize(int toHeight, int toWidth, Layout layout) {
        float[] data = new float[3 * toHeight * toWidth];
        fill(data, 0, bins(0, height, toHeight), bins(0, width, toWidth), layout);
        return new Tensor(data, layout.shape(1, toHeight, toWidth));
    }

    /**
     * Boxes of the frame, each resampled to a square and normalized.
     *
     * @param boxes x0, y0, x1, y1 of each, the latter two excluded, inside the frame and not empty.
     * @param begin first box, counted in boxes.
     * @param end last box, excluded.
     */
    Tensor crops(int[] boxes, int begin, int end, int side, Layout layout) {
        int size = 3 * side * side;
        float[] data = new float[(end - begin) * size];
        for (int i = begin; i < end; i++) {
            int[][] rows = bins(boxes[4 * i + 1], boxes[4 * i + 3] - boxes[4 * i + 1], side);
            int[][] columns = bins(boxes[4 * i], boxes[4 * i + 2] - boxes[4 * i], side);
            fill(data, (i - begin) * size, rows, columns, layout);
        }
        return new Tensor(data, layout.shape(end - begin, side, side));
    }

    private void fill(float[] data, int at, int[][] rows, int[][] columns, Layout layout) {
        int stride = 3 * (width + 1);
        int colorStep = layout.colorStep(rows[0].length * columns[0].length);
        int pixelStep = layout.pixelStep();
        for (int row = 0; row < rows[0].length; row++) {
            int above = rows[0][row] * stride;
            int below = rows[1][row] * stride;
            float binHeight = rows[1][row] - rows[0][row];
            for (int column = 0; column < columns[0].length; column++, at += pixelStep) {
                int left = 3 * columns[0][column];
                int right = 3 * columns[1][column];
                float binWidth = columns[1][column] - columns[0][column];
                for (int color = 0; color < 3; color++) {
                    int sum = (sums[below + right + color] - sums[below + left + color])
                            - (sums[above + right + color] - sums[above + left + color]);
                    data[at + color * colorStep] = (sum / binHeight / binWidth - MEAN) * SCALE;
                }
            }
        }
    }
}
