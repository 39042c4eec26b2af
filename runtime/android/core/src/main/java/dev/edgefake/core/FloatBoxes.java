package dev.edgefake.core;

import java.util.Arrays;

/** Boxes as MTCNN computes with them: float32, x0, y0, x1, y1 one after the other, with facenet-pytorch's rounding. */
final class FloatBoxes {
    private static final float TINY = 1e-12f;

    private FloatBoxes() {}

    /**
     * Greedy suppression: best score first, a box goes when it overlaps a kept one by more than the threshold.
     *
     * @param boxes four numbers each.
     * @param scores one each, not negative.
     * @param minimum whether the overlap is over the smaller box, counting pixels (a box from 0 to 9 is 10 wide), or
     *     over the union.
     * @return indices of the kept ones, best score first; of equal scores the earlier box comes first.
     */
    static int[] suppress(float[] boxes, float[] scores, float threshold, boolean minimum) {
        int[] order = byFallingScore(scores);
        int[] kept = new int[order.length];
        int count = 0;
        for (int candidate : order) {
            boolean free = true;
            for (int k = 0; k < count && free; k++) {
                free = !(overlap(boxes, kept[k], candidate, minimum) > threshold);
            }
            if (free) {
                kept[count++] = candidate;
            }
        }
        return Arrays.copyOf(kept, count);
    }

    private static int[] byFallingScore(float[] scores) {
        long[] keys = new long[scores.length];
        for (int i = 0; i < keys.length; i++) {
            // Bits of floats that are not negative are in the order of the floats.
            keys[i] = (long) (Integer.MAX_VALUE - Float.floatToIntBits(scores[i])) << 32 | i;
        }
        Arrays.sort(keys);
        int[] order = new int[keys.length];
        for (int i = 0; i < keys.length; i++) {
            order[i] = (int) keys[i];
        }
        return order;
    }

    static float overlap(float[] boxes, int first, int second, boolean minimum) {
        int a = 4 * first;
        int b = 4 * second;
        float pixel = minimum ? 1 : 0;
        float width = Math.max(
                Math.min(boxes[a + 2], boxes[b + 2]) - Math.max(boxes[a], boxes[b]) + pixel, 0);
        float height = Math.max(
                Math.min(boxes[a + 3], boxes[b + 3]) - Math.max(boxes[a + 1], boxes[b + 1]) + pixel, 0);
        float inter = width * height;
        float areaA = area(boxes, a, pixel);
        float areaB = area(boxes, b, pixel);
        float whole = minimum ? Math.min(areaA, areaB) : areaA + areaB - inter;
        return inter / Math.max(whole, TINY);
    }

    private static float area(float[] boxes, int at, float pixel) {
        return (boxes[at + 2] - boxes[at] + pixel) * (boxes[at + 3] - boxes[at + 1] + pixel);
    }

    /** Moves each edge by its shift times the box's side plus `extra` pixels. */
    static float[] shift(float[] boxes, float[] shifts, float extra) {
        float[] moved = new float[boxes.length];
        for (int at = 0; at < boxes.length; at += 4) {
            float width = boxes[at + 2] - boxes[at] + extra;
            float height = boxes[at + 3] - boxes[at + 1] + extra;
            moved[at] = boxes[at] + shifts[at] * width;
            moved[at + 1] = boxes[at + 1] + shifts[at + 1] * height;
            moved[at + 2] = boxes[at + 2] + shifts[at + 2] * width;
            moved[at + 3] = boxes[at + 3] + shifts[at + 3] * height;
        }
        return moved;
    }

    /** Widens the shorter side to the longer one, about the centre. */
    static float[] square(float[] boxes) {
        float[] squares = new float[boxes.length];
        for (int at = 0; at < boxes.length; at += 4) {
            float width = boxes[at + 2] - boxes[at];
            float height = boxes[at + 3] - boxes[at + 1];
            float longest = Math.max(width, height);
            squares[at] = boxes[at] + width * 0.5f - longest * 0.5f;
            squares[at + 1] = boxes[at + 1] + height * 0.5f - longest * 0.5f;
            squares[at + 2] = squares[at] + longest;
            squares[at + 3] = squares[at + 1] + longest;
        }
        return squares;
    }

    /**
     * Rounds boxes to pixels inside the frame, x1 and y1 excluded. facenet-pytorch counts pixels from 1, hence the
     * shift of the upper left corner. Boxes may come out empty; so do those that are no numbers.
     */
    static int[] pixels(float[] boxes, int height, int width) {
        int[] pixels = new int[boxes.length];
        for (int at = 0; at < boxes.length; at += 4) {
            pixels[at] = Math.max((int) boxes[at], 1) - 1;
            pixels[at + 1] = Math.max((int) boxes[at + 1], 1) - 1;
            pixels[at + 2] = Math.min((int) boxes[at + 2], width);
            pixels[at + 3] = Math.min((int) boxes[at + 3], height);
        }
        return pixels;
    }

    /** Rows of `size` numbers, those with these indices. */
    static float[] take(float[] values, int[] indices, int count, int size) {
        float[] taken = new float[count * size];
        for (int i = 0; i < count; i++) {
            System.arraycopy(values, indices[i] * size, taken, i * size, size);
        }
        return taken;
    }
}
