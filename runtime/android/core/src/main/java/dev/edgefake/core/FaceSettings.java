package dev.edgefake.core;

/** How MTCNN searches, and which of its finds are scored. Immutable; the defaults are those of the Python runtime. */
public final class FaceSettings {
    /** Side of P-Net's receptive field, pixels of its input. */
    static final int CELL = 12;

    /** Step of P-Net's output grid, pixels of its input. */
    static final int STRIDE = 2;

    /** Side of the smallest face to search for, pixels of the frame. */
    public final int minFace;

    /** Shorter side of a frame, pixels, above which the smallest face grows in proportion. */
    public final int fullSize;

    /** Least O-Net probability of a face that is scored. */
    public final double leastScore;

    /** From one scale of the pyramid to the next. */
    public final double factor;

    /** Least probabilities after P-Net, R-Net and O-Net. */
    final float[] thresholds;

    /** Overlaps above which a box goes, after P-Net, R-Net and O-Net. */
    final float[] overlaps;

    /** The same among the boxes that P-Net finds at one scale. */
    final float overlapInScale;

    /** Of the networks' inputs and of P-Net's outputs. */
    final Layout layout;

    /** Crops that go through R-Net or O-Net at once; bounds memory on crowded or hostile frames. */
    final int batch;

    private static final int MOST_CROPS = 256;

    private FaceSettings(
            int minFace,
            int fullSize,
            double leastScore,
            double factor,
            float[] thresholds,
            float[] overlaps,
            float overlapInScale,
            Layout layout,
            int batch) {
        if (batch < 1 || batch > MOST_CROPS) {
            throw new UsageException("batch: expected 1 to " + MOST_CROPS + " crops, got " + batch);
        }
        if (minFace < CELL) {
            throw new UsageException("min_face: expected " + CELL + " pixels or more, got " + minFace);
        }
        if (fullSize < 1) {
            throw new UsageException("full_size: expected 1 pixel or more, got " + fullSize);
        }
        if (!(factor > 0 && factor < 1)) {
            throw new UsageException("factor: expected one between 0 and 1, got " + factor);
        }
        if (!(leastScore >= 0 && leastScore <= 1)) {
            throw new UsageException("least_score: expected 0 to 1, got " + leastScore);
        }
        for (float share : new float[] {
            thresholds[0], thresholds[1], thresholds[2], overlaps[0], overlaps[1], overlaps[2], overlapInScale
        }) {
            if (!(share > 0 && share < 1)) {
                throw new UsageException("thresholds, overlaps: expected ones between 0 and 1, got " + share);
            }
        }
        this.minFace = minFace;
        this.fullSize = fullSize;
        this.leastScore = leastScore;
        this.factor = factor;
        this.thresholds = thresholds;
        this.overlaps = overlaps;
        this.overlapInScale = overlapInScale;
        this.layout = layout;
        this.batch = batch;
    }

    /** The Python runtime's settings, for networks with inputs of this layout (its ONNX files: NCHW). */
    public static FaceSettings standard(Layout layout) {
        return new FaceSettings(
                40,
                1080,
                0.9,
                0.709,
                new float[] {0.6f, 0.7f, 0.7f},
                new float[] {0.7f, 0.7f, 0.7f},
                0.5f,
                layout,
                MOST_CROPS);
    }

    /**
     * From the object "faces" of a bundle's description.
     *
     * @throws ModelFileException a field is missing, of another type or out of range, or asks for what is not here.
     */
    static FaceSettings of(Fields faces) {
        faces.require("resampling", "adaptive-area");
        faces.require("cell", CELL);
        faces.require("stride", STRIDE);
        faces.require("mean", 127.5);
        faces.require("scale", 0.0078125);
        float[] thresholds = new float[3];
        float[] overlaps = new float[3];
        String[] names = {"pnet", "rnet", "onet"};
        for (int i = 0; i < 3; i++) {
            Fields network = faces.object(names[i]);
            thresholds[i] = (float) network.number("threshold");
            overlaps[i] = (float) network.number("overlap");
        }
        try {
            return new FaceSettings(
                    faces.integer("min_face"),
                    faces.integer("full_size"),
                    faces.number("least_score"),
                    faces.number("factor"),
                    thresholds,
                    overlaps,
                    (float) faces.object("pnet").number("overlap_in_scale"),
                    faces.layout("layout"),
                    faces.has("batch") ? faces.integer("batch") : MOST_CROPS);
        } catch (UsageException error) {
            throw new ModelFileException("faces: " + error.getMessage(), error);
        }
    }

    /**
     * The same with another smallest face. Time falls with its square.
     *
     * @param pixels side of the smallest face, at least 12.
     * @throws UsageException fewer pixels.
     */
    public FaceSettings withMinFace(int pixels) {
        return new FaceSettings(
                pixels, fullSize, leastScore, factor, thresholds, overlaps, overlapInScale, layout, batch);
    }

    /** Smallest face worth searching for in a frame of this size, pixels. */
    public int minFaceFor(int height, int width) {
        double scaled = Math.rint((double) minFace * Math.min(height, width) / fullSize);
        return (int) Math.max(minFace, scaled);
    }

    /** Scales at which P-Net's 12 pixels see faces of so many pixels and more, largest first. */
    double[] pyramid(int height, int width, int smallestFace) {
        double[] scales = new double[16];
        int count = 0;
        double scale = (double) CELL / smallestFace;
        double smallest = Math.min(height, width) * scale;
        while (smallest >= CELL) {
            if (count == scales.length) {
                scales = java.util.Arrays.copyOf(scales, 2 * count);
            }
            scales[count++] = scale;
            scale *= factor;
            smallest *= factor;
        }
        return java.util.Arrays.copyOf(scales, count);
    }
}
