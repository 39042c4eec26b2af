package dev.edgefake.core;

/** How well a face can be judged: its size, sharpness and turn. */
public final class Quality {
    /** Pixels at which sharpness is measured: a face of fewer pixels is grown, and so is soft. */
    private static final int SIDE = 112;

    /** Geometric mean of the box's sides, pixels of the frame. */
    public final double side;

    /**
     * Deviation of the Laplacian over the deviation of the grey levels, of the crop at 112 x 112: around 0.1 to 1; 0 for
     * a flat picture.
     */
    public final double sharpness;

    /**
     * How far the nose lies from the middle of the eyes, along their line, in distances of the eyes: 0 from the front,
     * about 0.5 where the head is turned by 45 degrees; infinite where the eyes coincide.
     */
    public final double turn;

    Quality(double side, double sharpness, double turn) {
        this.side = side;
        this.sharpness = sharpness;
        this.turn = turn;
    }

    static Quality of(Image crop, Face face) {
        return new Quality(side(face.box), sharpness(crop), turn(face.landmarks()));
    }

    /** Whether a face is good enough to count; always, where there is no floor. */
    boolean isGood(Metadata.QualityFloor floor) {
        return floor == null || (side >= floor.side && sharpness >= floor.sharpness && turn <= floor.turn);
    }

    static double side(Box box) {
        return Math.sqrt(Math.max(box.x1 - box.x0, 0) * Math.max(box.y1 - box.y0, 0));
    }

    static double sharpness(Image crop) {
        int[] grey = grey(Resize.to(crop, SIDE));
        int[] laplacian = new int[grey.length];
        for (int y = 0; y < SIDE; y++) {
            int above = (y == 0 ? 1 : y - 1) * SIDE; // mirrored at the edge, which stands once
            int below = (y == SIDE - 1 ? SIDE - 2 : y + 1) * SIDE;
            for (int x = 0; x < SIDE; x++) {
                int left = x == 0 ? 1 : x - 1;
                int right = x == SIDE - 1 ? SIDE - 2 : x + 1;
                int here = y * SIDE;
                laplacian[here + x] =
                        grey[above + x] + grey[below + x] + grey[here + left] + grey[here + right] - 4 * grey[here + x];
            }
        }
        double spread = deviation(grey);
        return spread > 0 ? deviation(laplacian) / spread : 0;
    }

    /** Grey levels as OpenCV makes them: 15 bits of fixed point. */
    private static int[] grey(Image image) {
        int[] grey = new int[image.width * image.height];
        for (int i = 0, from = 0; i < grey.length; i++, from += 3) {
            int red = image.rgb[from] & 255;
            int green = image.rgb[from + 1] & 255;
            int blue = image.rgb[from + 2] & 255;
            grey[i] = (9798 * red + 19235 * green + 3735 * blue + (1 << 14)) >> 15;
        }
        return grey;
    }

    private static double deviation(int[] values) {
        long sum = 0;
        long squares = 0;
        for (int value : values) {
            sum += value;
            squares += (long) value * value;
        }
        long n = values.length;
        return Math.sqrt((double) (n * squares - sum * sum)) / n;
    }

    static double turn(double[] landmarks) {
        double lineX = landmarks[2] - landmarks[0];
        double lineY = landmarks[3] - landmarks[1];
        double length = Math.hypot(lineX, lineY);
        if (length == 0) {
            return Double.POSITIVE_INFINITY;
        }
        double noseX = landmarks[4] - (landmarks[0] + landmarks[2]) / 2;
        double noseY = landmarks[5] - (landmarks[1] + landmarks[3]) / 2;
        return Math.abs(noseX * lineX + noseY * lineY) / (length * length);
    }
}
