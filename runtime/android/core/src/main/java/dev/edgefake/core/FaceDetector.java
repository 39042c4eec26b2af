package dev.edgefake.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * Finds faces in frames: the three-stage cascade MTCNN (Zhang et al., 2016).
 *
 * <p>P-Net scans a pyramid of the frame for candidates, R-Net refines 24 x 24 crops of them, O-Net 48 x 48 crops and adds
 * five landmarks. Rounding, suppression and order are those of the Python runtime, which are facenet-pytorch's.
 */
public final class FaceDetector {
    /** Called between two steps; throws to end the run. */
    interface Checkpoint {
        void pass();
    }

    private final Network pnet;
    private final Network rnet;
    private final Network onet;
    private final FaceSettings settings;

    /**
     * @param pnet input "image", outputs "boxes" (shifts of the edges in box sides) and "probability".
     * @param rnet the same, for 24 x 24 crops.
     * @param onet the same with "landmarks" (five x, then five y, in box sides), for 48 x 48 crops.
     * @param settings how to search, and the layout of the networks' inputs.
     */
    public FaceDetector(Interpreter pnet, Interpreter rnet, Interpreter onet, FaceSettings settings) {
        this.pnet = new Network("P-Net", pnet);
        this.rnet = new Network("R-Net", rnet);
        this.onet = new Network("O-Net", onet);
        this.settings = settings;
    }

    /** How it searches. */
    public FaceSettings settings() {
        return settings;
    }

    /**
     * Faces of an upright picture, the largest box first; none where it is smaller than the smallest face.
     *
     * @param minFace side of the smallest face, pixels, at least 12.
     * @throws UsageException fewer pixels.
     * @throws ModelFileException a network fails, or is not the one that it should be.
     */
    public List<Face> detect(Image image, int minFace) {
        return detect(image, minFace, () -> {});
    }

    List<Face> detect(Image image, int minFace, Checkpoint checkpoint) {
        if (minFace < FaceSettings.CELL) {
            throw new UsageException("min_face: expected " + FaceSettings.CELL + " pixels or more, got " + minFace);
        }
        double[] scales = settings.pyramid(image.height, image.width, minFace);
        if (scales.length == 0) {
            return Collections.emptyList();
        }
        AreaTable table = new AreaTable(image);
        float[] boxes = propose(table, scales, checkpoint);
        return conclude(table, refine(table, boxes, checkpoint), checkpoint);
    }

    /** First stage: square candidates from P-Net at every scale. */
    private float[] propose(AreaTable table, double[] scales, Checkpoint checkpoint) {
        Found all = new Found(4);
        for (double scale : scales) {
            checkpoint.pass();
            Found found = candidates(table, scale);
            all.addAll(found.kept(FloatBoxes.suppress(found.boxes(), found.scores(), settings.overlapInScale, false)));
        }
        Found kept = all.kept(FloatBoxes.suppress(all.boxes(), all.scores(), settings.overlaps[0], false));
        return FloatBoxes.square(FloatBoxes.shift(kept.boxes(), kept.values(), 0));
    }

    private Found candidates(AreaTable table, double scale) {
        int height = (int) (table.height * scale + 1);
        int width = (int) (table.width * scale + 1);
        Tensor[] found = pnet.run(table.resize(height, width, settings.layout), "boxes", "probability");
        boolean first = settings.layout == Layout.NCHW;
        int rows = found[1].shape().length == 4 ? found[1].size(first ? 2 : 1) : 0;
        int columns = found[1].shape().length == 4 ? found[1].size(first ? 3 : 2) : 0;
        int cells = rows * columns;
        pnet.check(found[0], first ? new int[] {1, 4, rows, columns} : new int[] {1, rows, columns, 4});
        pnet.check(found[1], first ? new int[] {1, 1, rows, columns} : new int[] {1, rows, columns, 1});
        int edgeStep = first ? cells : 1;
        int cellStep = first ? 1 : 4;
        float floatScale = (float) scale;
        Found candidates = new Found(4);
        for (int cell = 0; cell < cells; cell++) {
            float score = found[1].data[cell];
            if (score >= settings.thresholds[0]) {
                float x = (float) (cell % columns) * FaceSettings.STRIDE;
                float y = (float) (cell / columns) * FaceSettings.STRIDE;
                candidates.add(
                        score,
                        floor((x + 1) / floatScale),
                        floor((y + 1) / floatScale),
                        floor((x + FaceSettings.CELL) / floatScale),
                        floor((y + FaceSettings.CELL) / floatScale),
                        found[0].data,
                        cell * cellStep,
                        edgeStep);
            }
        }
        return candidates;
    }

    private static float floor(float value) {
        return (float) Math.floor(value);
    }

    /** Second stage: square candidates that R-Net accepts. */
    private float[] refine(AreaTable table, float[] boxes, Checkpoint checkpoint) {
        Found found = look(rnet, table, boxes, 24, settings.thresholds[1], checkpoint, "boxes", "probability");
        Found kept = found.kept(FloatBoxes.suppress(found.boxes(), found.scores(), settings.overlaps[1], false));
        return FloatBoxes.square(FloatBoxes.shift(kept.boxes(), kept.values(), 1));
    }

    /** Third stage: faces with landmarks from O-Net, the largest box first. */
    private List<Face> conclude(AreaTable table, float[] squares, Checkpoint checkpoint) {
        Found found = look(
                onet, table, squares, 48, settings.thresholds[2], checkpoint, "boxes", "probability", "landmarks");
        int count = found.count();
        float[] values = found.values(); // (count, 14): shifts of the edges, five x, five y
        float[] before = found.boxes();
        float[] shifts = new float[4 * count];
        for (int i = 0; i < count; i++) {
            System.arraycopy(values, 14 * i, shifts, 4 * i, 4);
        }
        float[] boxes = FloatBoxes.shift(before, shifts, 1);
        List<Integer> order = new ArrayList<>();
        for (int kept : suppressFromTheEnd(boxes, found.scores(), settings.overlaps[2])) {
            order.add(kept);
        }
        // Of equal areas the one with the lower score comes first, as when a rising order is read from its end.
        Collections.reverse(order);
        Collections.sort(order, (a, b) -> Float.compare(area(boxes, b), area(boxes, a)));
        List<Face> faces = new ArrayList<>();
        for (int i : order) {
            if (finite(boxes, i) && finite(before, i)) {
                faces.add(face(boxes, before, values, found.scores()[i], i));
            }
        }
        return Collections.unmodifiableList(faces);
    }

    /** Of equal scores facenet-pytorch keeps the later box here. */
    private static int[] suppressFromTheEnd(float[] boxes, float[] scores, float threshold) {
        int last = scores.length - 1;
        int[] backwards = new int[scores.length];
        for (int i = 0; i <= last; i++) {
            backwards[i] = last - i;
        }
        int[] kept = FloatBoxes.suppress(
                FloatBoxes.take(boxes, backwards, scores.length, 4),
                FloatBoxes.take(scores, backwards, scores.length, 1),
                threshold,
                true);
        for (int i = 0; i < kept.length; i++) {
            kept[i] = last - kept[i];
        }
        return kept;
    }

    private static float area(float[] boxes, int i) {
        return (boxes[4 * i + 2] - boxes[4 * i]) * (boxes[4 * i + 3] - boxes[4 * i + 1]);
    }

    private static boolean finite(float[] boxes, int i) {
        float sum = Math.abs(boxes[4 * i]) + Math.abs(boxes[4 * i + 1]);
        return sum + Math.abs(boxes[4 * i + 2]) + Math.abs(boxes[4 * i + 3]) < Float.MAX_VALUE;
    }

    private static Face face(float[] boxes, float[] before, float[] values, float score, int i) {
        float width = before[4 * i + 2] - before[4 * i] + 1;
        float height = before[4 * i + 3] - before[4 * i + 1] + 1;
        double[] landmarks = new double[10];
        for (int point = 0; point < 5; point++) {
            landmarks[2 * point] = width * values[14 * i + 4 + point] + before[4 * i] - 1;
            landmarks[2 * point + 1] = height * values[14 * i + 9 + point] + before[4 * i + 1] - 1;
        }
        Box box = new Box(boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]);
        return new Face(box, score, landmarks);
    }

    /**
     * Runs R-Net or O-Net on the crops of boxes; drops boxes without a pixel in the frame, and those not above the
     * threshold. The values of a find are the shifts of its edges, then its landmarks.
     */
    private Found look(
            Network network,
            AreaTable table,
            float[] boxes,
            int side,
            float threshold,
            Checkpoint checkpoint,
            String... outputs) {
        int[] pixels = FloatBoxes.pixels(boxes, table.height, table.width);
        int[] inside = new int[boxes.length / 4];
        int count = 0;
        for (int i = 0; i < inside.length; i++) {
            if (pixels[4 * i + 2] > pixels[4 * i] && pixels[4 * i + 3] > pixels[4 * i + 1]) {
                System.arraycopy(pixels, 4 * i, pixels, 4 * count, 4);
                inside[count++] = i;
            }
        }
        boolean landmarks = outputs.length == 3;
        Found found = new Found(landmarks ? 14 : 4);
        for (int begin = 0; begin < count; begin += settings.batch) {
            checkpoint.pass();
            int end = Math.min(begin + settings.batch, count);
            Tensor[] answers = network.run(table.crops(pixels, begin, end, side, settings.layout), outputs);
            network.check(answers[0], end - begin, 4);
            network.check(answers[1], end - begin, 1);
            if (landmarks) {
                network.check(answers[2], end - begin, 10);
            }
            for (int i = begin; i < end; i++) {
                float score = answers[1].data[i - begin];
                if (score > threshold) {
                    found.add(
                            score, boxes, 4 * inside[i], answers[0].data, landmarks ? answers[2].data : null, i - begin);
                }
            }
        }
        return found;
    }

    /** Boxes with scores and so many values each. */
    private static final class Found {
        private final int size;
        private float[] boxes = new float[64];
        private float[] scores = new float[16];
        private float[] values;
        private int count;

        Found(int size) {
            this.size = size;
            values = new float[16 * size];
        }

        int count() {
            return count;
        }

        float[] boxes() {
            return Arrays.copyOf(boxes, 4 * count);
        }

        float[] scores() {
            return Arrays.copyOf(scores, count);
        }

        float[] values() {
            return Arrays.copyOf(values, size * count);
        }

        void add(float score, float x0, float y0, float x1, float y1, float[] shifts, int from, int step) {
            grow(1);
            scores[count] = score;
            boxes[4 * count] = x0;
            boxes[4 * count + 1] = y0;
            boxes[4 * count + 2] = x1;
            boxes[4 * count + 3] = y1;
            for (int edge = 0; edge < 4; edge++) {
                values[size * count + edge] = shifts[from + edge * step];
            }
            count++;
        }

        void add(float score, float[] from, int at, float[] shifts, float[] landmarks, int row) {
            grow(1);
            scores[count] = score;
            System.arraycopy(from, at, boxes, 4 * count, 4);
            System.arraycopy(shifts, 4 * row, values, size * count, 4);
            if (landmarks != null) {
                System.arraycopy(landmarks, 10 * row, values, size * count + 4, 10);
            }
            count++;
        }

        void addAll(Found other) {
            grow(other.count);
            System.arraycopy(other.boxes, 0, boxes, 4 * count, 4 * other.count);
            System.arraycopy(other.scores, 0, scores, count, other.count);
            System.arraycopy(other.values, 0, values, size * count, size * other.count);
            count += other.count;
        }

        Found kept(int[] indices) {
            Found kept = new Found(size);
            kept.boxes = FloatBoxes.take(boxes, indices, indices.length, 4);
            kept.scores = FloatBoxes.take(scores, indices, indices.length, 1);
            kept.values = FloatBoxes.take(values, indices, indices.length, size);
            kept.count = indices.length;
            return kept;
        }

        private void grow(int more) {
            if (count + more > scores.length) {
                int room = Math.max(2 * scores.length, count + more);
                boxes = Arrays.copyOf(boxes, 4 * room);
                scores = Arrays.copyOf(scores, room);
                values = Arrays.copyOf(values, size * room);
            }
        }
    }
}
