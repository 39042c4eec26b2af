package dev.edgefake.core;

import java.util.Arrays;

/** What a classifier's file says about itself: all that turns a frame into a score. Immutable. */
public final class Metadata {
    /** Key of the entry in ONNX and TFLite files. */
    public static final String KEY = "edgefake";

    /** Version of the schema; a file of another one is refused. */
    public static final int SCHEMA = 1;

    /** Name of the model, such as "bitvit-tiny". */
    public final String name;

    /** Named configuration that the weights fit. */
    public final String architecture;

    /** Width of the encoder's weights, bits. */
    public final int bits;

    /** How the weights came to their width. */
    public final String recipe;

    /** Version of edgefake that wrote the file. */
    public final String edgefake;

    /** Side of the square input, pixels. */
    public final int inputSize;

    /** How a face is cut from a frame. */
    public final Crop crop;

    /** From logits to P(fake). */
    public final Calibration calibration;

    /** P(fake) from which a face counts as fake. */
    public final double threshold;

    /** The band of scores around the threshold in which the verdict is uncertain. */
    public final Uncertain uncertain;

    /** Other operating points; null where the file has none. */
    public final Roc roc;

    /** The floor below which a face is set aside; null for none. */
    public final QualityFloor quality;

    private final double[] mean;
    private final double[] std;

    private Metadata(Fields fields) {
        int schema = fields.has("schema") ? fields.integer("schema") : SCHEMA;
        check(schema == SCHEMA, "metadata schema: expected " + SCHEMA + ", got " + schema + "; update edgefake");
        name = fields.string("name");
        architecture = fields.string("architecture");
        bits = fields.integer("bits");
        recipe = fields.string("recipe");
        edgefake = fields.string("edgefake");
        inputSize = fields.integer("input_size");
        fields.require("color", "RGB");
        mean = fields.numbers("mean");
        std = fields.numbers("std");
        if (!Arrays.asList("real", "fake").equals(fields.list("labels"))) {
            throw fields.refusal("labels", "real, fake");
        }
        crop = new Crop(fields.object("crop"));
        calibration = new Calibration(fields.object("calibration"));
        threshold = fields.number("threshold");
        uncertain = new Uncertain(fields.object("uncertain"));
        roc = fields.has("roc") ? new Roc(fields.object("roc")) : null;
        quality = fields.has("quality") ? new QualityFloor(fields.object("quality")) : null;
        check(8 <= inputSize && inputSize <= 4096, "input size: expected 8 to 4096 pixels, got " + inputSize);
        check(mean.length == 3 && std.length == 3, "mean and std: expected three values each");
        check(
                std[0] > 0 && std[1] > 0 && std[2] > 0,
                "std: expected positive values, got " + Arrays.toString(std));
        check(
                uncertain.low <= threshold && threshold <= uncertain.high,
                "threshold: expected one in the uncertain band " + uncertain.low + " to " + uncertain.high + ", got "
                        + threshold);
    }

    /**
     * From the JSON that a model file holds.
     *
     * @throws ModelFileException no JSON, a field is missing or of the wrong type, or a value is impossible.
     */
    public static Metadata fromJson(String json) {
        try {
            return of(Fields.parse(json));
        } catch (ModelFileException error) {
            throw new ModelFileException("the model's metadata cannot be used: " + error.getMessage(), error);
        }
    }

    /**
     * From the bytes of a model file made by edgefake, ONNX or TFLite.
     *
     * @throws ModelFileException neither, a damaged one, or one without metadata that can be used.
     */
    public static Metadata ofModel(byte[] model) {
        String json = ModelFile.metadata(model);
        if (json == null) {
            throw new ModelFileException("expected a model exported by edgefake, got a file without its metadata;"
                    + " make one with: edgefake export");
        }
        return fromJson(json);
    }

    static Metadata of(Fields fields) {
        return new Metadata(fields);
    }

    /** Mean of a channel (0 red, 1 green, 2 blue), of values in 0..1. */
    public double mean(int channel) {
        return mean[channel];
    }

    /** Deviation of a channel, of values in 0..1. */
    public double std(int channel) {
        return std[channel];
    }

    private static void check(boolean holds, String message) {
        if (!holds) {
            throw new ModelFileException(message);
        }
    }

    /**
     * How a face is cut: the shorter side of its box is widened to the longer one (`square`), the box moves down by
     * `shift` of its heights and grows by `margin` of its sides on every side; of what lies in the frame the middle
     * `share` of either side is taken.
     */
    public static final class Crop {
        /** Growth on every side, in box sides; negative shrinks. */
        public final double margin;

        /** Move downwards, in box heights. */
        public final double shift;

        /** Whether the box becomes a square first. */
        public final boolean square;

        /** Share of either side that is kept in the end, 0.1 to 1. */
        public final double share;

        private Crop(Fields fields) {
            margin = fields.number("margin");
            shift = fields.number("shift");
            square = fields.flag("square");
            share = fields.has("share") ? fields.number("share") : 1;
            fields.string("origin");
            check(-0.4 < margin && margin < 3, "crop margin: expected -0.4 to 3 box sides, got " + margin);
            check(0.1 <= share && share <= 1, "crop share: expected 0.1 to 1, got " + share);
            check(Math.abs(shift) < 1, "crop shift: expected -1 to 1 box heights, got " + shift);
        }
    }

    /** P(fake) = sigmoid(scale * (logit of fake - logit of real) + shift) (Platt, 1999). */
    public static final class Calibration {
        /** Of the difference of the logits. */
        public final double scale;

        /** Added to it. */
        public final double shift;

        private Calibration(Fields fields) {
            scale = fields.number("scale");
            shift = fields.number("shift");
            fields.string("origin");
            check(scale > 0, "calibration: expected a positive scale, got " + scale);
        }
    }

    /** Scores from `low` up to but not including `high` are uncertain. */
    public static final class Uncertain {
        /** First uncertain score. */
        public final double low;

        /** First score above the band. */
        public final double high;

        private Uncertain(Fields fields) {
            low = fields.number("low");
            high = fields.number("high");
            fields.string("origin");
            check(
                    0 <= low && low <= high && high <= 1,
                    "uncertain band: expected 0 <= low <= high <= 1, got " + low + " to " + high);
        }
    }

    /** Measured operating points: what calling a crop fake from a P(fake) on costs and finds. */
    public static final class Roc {
        private final double[] thresholds;
        private final double[] falsePositives;

        /** Real crops behind the curve. */
        public final int reals;

        private Roc(Fields fields) {
            thresholds = fields.numbers("thresholds");
            falsePositives = fields.numbers("false_positives");
            double[] truePositives = fields.numbers("true_positives");
            reals = fields.integer("reals");
            fields.string("origin");
            for (double[] column : new double[][] {thresholds, falsePositives, truePositives}) {
                check(column.length == thresholds.length, "ROC: expected columns of one length");
                for (double share : column) {
                    check(0 <= share && share <= 1, "ROC: expected shares from 0 to 1");
                }
            }
            check(thresholds.length > 0, "ROC: expected operating points, got none");
            check(reals > 0, "ROC: expected real crops behind it, got " + reals);
            for (int i = 1; i < thresholds.length; i++) {
                check(thresholds[i] < thresholds[i - 1], "ROC: expected falling thresholds");
                check(falsePositives[i] >= falsePositives[i - 1], "ROC: expected rising false positives");
            }
        }

        /**
         * The lowest threshold at which at most this share of the real crops counts as fake.
         *
         * @throws UsageException a share that so few real crops cannot tell from none, or out of range.
         */
        public double threshold(double share) {
            if (!(1.0 / reals <= share && share <= 1)) {
                throw new UsageException("max_false_positives: expected " + 1.0 / reals + " to 1, which is what the "
                        + reals + " real crops behind the model's curve can tell; got " + share);
            }
            int last = -1;
            for (int i = 0; i < thresholds.length; i++) {
                last = falsePositives[i] <= share ? i : last;
            }
            if (last < 0) {
                throw new UsageException("max_false_positives: expected more than the curve's first, got " + share);
            }
            return thresholds[last];
        }
    }

    /** Faces below it are set aside: there the model was measured to know too little. */
    public static final class QualityFloor {
        /** Least geometric mean of the box's sides, pixels. */
        public final double side;

        /** Least sharpness, see {@link Quality}. */
        public final double sharpness;

        /** Largest turn, see {@link Quality}. */
        public final double turn;

        private QualityFloor(Fields fields) {
            side = fields.number("side");
            sharpness = fields.number("sharpness");
            turn = fields.number("turn");
            fields.string("origin");
        }
    }
}
