package dev.edgefake.core;

/** Order of the axes of a network's pictures. */
public enum Layout {
    /** All of red, then green, then blue. */
    NCHW,
    /** The three colours of a pixel side by side. */
    NHWC;

    /** Shape of a batch of RGB pictures. */
    int[] shape(int count, int height, int width) {
        return this == NCHW ? new int[] {count, 3, height, width} : new int[] {count, height, width, 3};
    }

    /** Step from one colour of a pixel to the next, in a picture of so many pixels. */
    int colorStep(int pixels) {
        return this == NCHW ? pixels : 1;
    }

    /** Step from one pixel to the next. */
    int pixelStep() {
        return this == NCHW ? 1 : 3;
    }
}
