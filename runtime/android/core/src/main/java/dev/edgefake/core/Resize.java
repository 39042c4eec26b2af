package dev.edgefake.core;

/**
 * Resizing of RGB bytes to a square, as OpenCV's INTER_AREA and INTER_LINEAR do it, byte for byte (x86, OpenCV 5.0):
 * with its tables, its fixed point and its order of float32 sums. OpenCV's builds for other processors may round a tie
 * differently, by one grey level.
 */
final class Resize {
    private static final int ONE = 2048;

    private Resize() {}

    /** Area averaging where the picture loses pixels, bilinear where it gains some; the same where the size is. */
    static Image to(Image image, int size) {
        if (image.height == size && image.width == size) {
            return image;
        }
        boolean shrinks = (long) image.height * image.width >= (long) size * size;
        if (!shrinks) {
            return linear(image, size, false);
        }
        // INTER_AREA averages only where both sides shrink; elsewhere it is bilinear between the edges of pixels.
        return image.height >= size && image.width >= size ? area(image, size) : linear(image, size, true);
    }

    private static Image area(Image image, int size) {
        if (image.height % size == 0 && image.width % size == 0) {
            return wholeArea(image, size);
        }
        float[][] columns = weights(image.width, size);
        float[][] rows = weights(image.height, size);
        byte[] out = new byte[3 * size * size];
        float[] line = new float[3 * size];
        float[] sum = new float[3 * size];
        for (int y = 0; y < size; y++) {
            java.util.Arrays.fill(sum, 0);
            int first = (int) rows[y][0];
            for (int k = 1; k < rows[y].length; k++) {
                averageRow(image, first + k - 1, columns, line);
                float weight = rows[y][k];
                for (int i = 0; i < sum.length; i++) {
                    sum[i] += weight * line[i];
                }
            }
            for (int i = 0; i < sum.length; i++) {
                out[3 * size * y + i] = round(sum[i]);
            }
        }
        return new Image(out, size, size);
    }

    private static void averageRow(Image image, int row, float[][] columns, float[] line) {
        byte[] rgb = image.rgb;
        int start = 3 * row * image.width;
        for (int x = 0; x < columns.length; x++) {
            float[] weights = columns[x];
            float red = 0;
            float green = 0;
            float blue = 0;
            int at = start + 3 * (int) weights[0];
            for (int k = 1; k < weights.length; k++, at += 3) {
                red += (rgb[at] & 255) * weights[k];
                green += (rgb[at + 1] & 255) * weights[k];
                blue += (rgb[at + 2] & 255) * weights[k];
            }
            line[3 * x] = red;
            line[3 * x + 1] = green;
            line[3 * x + 2] = blue;
        }
    }

    /** For each output: its first pixel, then the weights of that one and the following ones. */
    private static float[][] weights(int length, int size) {
        double scale = 1.0 / ((double) size / length);
        float[][] table = new float[size][];
        for (int i = 0; i < size; i++) {
            double begin = i * scale;
            double end = begin + scale;
            double cell = Math.min(scale, length - begin);
            int last = Math.min((int) Math.floor(end), length - 1);
            int first = Math.min((int) Math.ceil(begin), last);
            boolean before = first - begin > 1e-3;
            boolean after = end - last > 1e-3;
            float[] weights = new float[1 + (before ? 1 : 0) + last - first + (after ? 1 : 0)];
            int at = 0;
            weights[at++] = before ? first - 1 : first;
            if (before) {
                weights[at++] = (float) ((first - begin) / cell);
            }
            for (int pixel = first; pixel < last; pixel++) {
                weights[at++] = (float) (1.0 / cell);
            }
            if (after) {
                weights[at] = (float) (Math.min(Math.min(end - last, 1.0), cell) / cell);
            }
            table[i] = weights;
        }
        return table;
    }

    /** Both sides shrink by whole numbers: integer sums. */
    private static Image wholeArea(Image image, int size) {
        int down = image.height / size;
        int across = image.width / size;
        float scale = (float) (1.0 / (down * across));
        byte[] out = new byte[3 * size * size];
        for (int y = 0, to = 0; y < size; y++) {
            for (int x = 0; x < size; x++) {
                for (int color = 0; color < 3; color++, to++) {
                    int sum = 0;
                    for (int row = y * down; row < (y + 1) * down; row++) {
                        int from = 3 * (row * image.width + x * across) + color;
                        for (int k = 0; k < across; k++, from += 3) {
                            sum += image.rgb[from] & 255;
                        }
                    }
                    out[to] = down == 2 && across == 2 ? (byte) ((sum + 2) >> 2) : round(sum * scale);
                }
            }
        }
        return new Image(out, size, size);
    }

    /** Bilinear in fixed point of 11 bits. */
    private static Image linear(Image image, int size, boolean edges) {
        int[][] columns = positions(image.width, size, edges, true);
        int[][] rows = positions(image.height, size, edges, false);
        byte[] out = new byte[3 * size * size];
        int[] upper = new int[3 * size];
        int[] lower = new int[3 * size];
        for (int y = 0, to = 0; y < size; y++) {
            int row = rows[0][y];
            blendRow(image, Math.min(Math.max(row, 0), image.height - 1), columns, upper);
            blendRow(image, Math.min(Math.max(row + 1, 0), image.height - 1), columns, lower);
            int second = rows[1][y];
            int first = rows[2][y];
            for (int i = 0; i < upper.length; i++, to++) {
                int value = ((first * (upper[i] >> 4)) >> 16) + ((second * (lower[i] >> 4)) >> 16);
                out[to] = (byte) Math.min((value + 2) >> 2, 255);
            }
        }
        return new Image(out, size, size);
    }

    private static void blendRow(Image image, int row, int[][] columns, int[] line) {
        byte[] rgb = image.rgb;
        for (int x = 0; x < columns[0].length; x++) {
            int left = 3 * (row * image.width + columns[0][x]);
            int right = columns[0][x] + 1 < image.width ? left + 3 : left;
            for (int color = 0; color < 3; color++) {
                line[3 * x + color] =
                        (rgb[left + color] & 255) * columns[2][x] + (rgb[right + color] & 255) * columns[1][x];
            }
        }
    }

    /** For each output: its first pixel, the weight of the next one, the weight of the first. */
    private static int[][] positions(int length, int size, boolean edges, boolean inside) {
        double shrink = (double) size / length;
        double scale = 1.0 / shrink;
        int[][] table = new int[3][size];
        for (int i = 0; i < size; i++) {
            int first;
            float share;
            if (edges) {
                first = (int) Math.floor(i * scale);
                share = (float) ((i + 1) - (first + 1) * shrink);
                share = share <= 0 ? 0 : share - (float) Math.floor(share);
            } else {
                share = (float) ((i + 0.5) * scale - 0.5);
                first = (int) Math.floor(share);
                share -= first;
            }
            if (inside && first < 0) {
                first = 0;
                share = 0;
            }
            if (inside && first >= length - 1) {
                first = length - 1;
                share = 0;
            }
            table[0][i] = first;
            table[1][i] = (int) Math.rint(share * ONE);
            table[2][i] = (int) Math.rint((1 - share) * ONE);
        }
        return table;
    }

    private static byte round(float value) {
        double whole = Math.rint(value);
        return (byte) (whole < 0 ? 0 : Math.min(whole, 255));
    }
}
