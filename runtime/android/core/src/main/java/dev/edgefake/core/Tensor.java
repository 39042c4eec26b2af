package dev.edgefake.core;

import java.util.Arrays;

/** Numbers with a shape, row by row: what goes into a network and what comes out. The array is not copied. */
public final class Tensor {
    /** The values, the last axis fastest. */
    public final float[] data;

    private final int[] shape;

    /**
     * @param data values, the last axis fastest; kept, not copied.
     * @param shape sizes of the axes, whose product is the number of values.
     * @throws UsageException another number of values, or a negative size.
     */
    public Tensor(float[] data, int... shape) {
        long count = 1;
        for (int size : shape) {
            count = size < 0 ? -1 : count * size;
            if (count < 0 || count > data.length) {
                break;
            }
        }
        if (count != data.length) {
            throw new UsageException(
                    "expected a shape of " + data.length + " values, got " + Arrays.toString(shape));
        }
        this.data = data;
        this.shape = shape.clone();
    }

    /** Sizes of the axes; a copy. */
    public int[] shape() {
        return shape.clone();
    }

    /** Whether the shape is this one; -1 stands for any size. */
    boolean has(int... wanted) {
        if (wanted.length != shape.length) {
            return false;
        }
        for (int axis = 0; axis < wanted.length; axis++) {
            if (wanted[axis] >= 0 && wanted[axis] != shape[axis]) {
                return false;
            }
        }
        return true;
    }

    /** Size of an axis. */
    int size(int axis) {
        return shape[axis];
    }

    @Override
    public String toString() {
        return Arrays.toString(shape);
    }
}
