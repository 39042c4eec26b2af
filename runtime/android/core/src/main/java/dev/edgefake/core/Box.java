package dev.edgefake.core;

/** A rectangle in pixels of the upright frame; its edges may lie outside of it. */
public final class Box {
    /** Left edge. */
    public final double x0;

    /** Upper edge. */
    public final double y0;

    /** Right edge. */
    public final double x1;

    /** Lower edge. */
    public final double y1;

    /**
     * @param x0 left edge, pixels.
     * @param y0 upper edge.
     * @param x1 right edge.
     * @param y1 lower edge.
     */
    public Box(double x0, double y0, double x1, double y1) {
        this.x0 = x0;
        this.y0 = y0;
        this.x1 = x1;
        this.y1 = y1;
    }

    @Override
    public String toString() {
        return "[" + x0 + ", " + y0 + ", " + x1 + ", " + y1 + "]";
    }
}
