package dev.edgefake.core;

/** One face that the face detector found, in pixels of the upright frame. */
public final class Face {
    /** Its box. */
    public final Box box;

    /** O-Net's probability of a face, 0 to 1. */
    public final double score;

    private final double[] landmarks;

    /**
     * @param box the face's box.
     * @param score probability of a face, 0 to 1.
     * @param landmarks x, y of the eye on the left of the picture, the eye on the right, the nose, the mouth's left
     *     and right corner: 10 numbers.
     */
    public Face(Box box, double score, double... landmarks) {
        if (landmarks.length != 10) {
            throw new UsageException("expected 5 landmarks of x and y, got " + landmarks.length + " numbers");
        }
        this.box = box;
        this.score = score;
        this.landmarks = landmarks.clone();
    }

    /** x, y of the eye on the left of the picture, the eye on the right, the nose, the mouth's corners: a copy. */
    public double[] landmarks() {
        return landmarks.clone();
    }
}
