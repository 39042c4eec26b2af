package dev.edgefake.core;

import static dev.edgefake.core.TestData.box;
import static dev.edgefake.core.TestData.floats;
import static dev.edgefake.core.TestData.golden;
import static dev.edgefake.core.TestData.integers;
import static dev.edgefake.core.TestData.list;
import static dev.edgefake.core.TestData.number;
import static dev.edgefake.core.TestData.numbers;
import static dev.edgefake.core.TestData.object;
import static dev.edgefake.core.TestData.unpack;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Every step from a frame to a verdict gives what the Python runtime gives. */
class GoldenTest {
    private static final double CLOSE = 1e-9;

    @Test
    void pyramidsAndSmallestFaces() {
        FaceSettings settings = FaceSettings.standard(Layout.NCHW);
        for (Object each : list(golden("pyramids"))) {
            Map<String, Object> record = object(each);
            int height = (int) number(record.get("height"));
            int width = (int) number(record.get("width"));
            int minFace = settings.minFaceFor(height, width);
            assertEquals((int) number(record.get("min_face")), minFace, () -> height + " x " + width);
            assertArrayEquals(numbers(record.get("scales")), settings.pyramid(height, width, minFace));
        }
    }

    @Test
    void suppression() {
        for (Object each : list(golden("suppressions"))) {
            Map<String, Object> record = object(each);
            int[] kept = FloatBoxes.suppress(
                    floats(record.get("boxes")),
                    floats(record.get("scores")),
                    (float) number(record.get("threshold")),
                    (Boolean) record.get("minimum"));
            assertArrayEquals(integers(record.get("kept")), kept);
        }
    }

    @Test
    void rectanglesOfCrops() {
        for (Object each : list(golden("rectangles"))) {
            Map<String, Object> record = object(each);
            Map<String, Object> changed = new LinkedHashMap<>(object(golden("metadata")));
            Map<String, Object> rule = new LinkedHashMap<>(record);
            rule.put("origin", "");
            changed.put("crop", rule);
            Metadata metadata = Metadata.fromJson(TestData.JsonText.of(changed));
            int[] pixels = Crops.rectangle(
                    box(record.get("box")),
                    metadata.crop,
                    (int) number(record.get("height")),
                    (int) number(record.get("width")));
            assertArrayEquals(integers(record.get("pixels")), pixels, record::toString);
        }
    }

    @Test
    void resizingByteForByteAndSharpness() {
        Image picture = TestData.sample("astronaut.png").toImage();
        for (Object each : list(golden("resizes"))) {
            Map<String, Object> record = object(each);
            int[] at = integers(record.get("pixels"));
            Image part = picture.cut(at[0], at[1], at[2], at[3]);
            Image resized = Resize.to(part, (int) number(record.get("size")));
            assertArrayEquals(unpack(record.get("data")), resized.rgb(), () -> Arrays.toString(at));
            assertEquals(number(record.get("sharpness")), Quality.sharpness(part), 2e-6, () -> Arrays.toString(at));
        }
    }

    @Test
    void aCropAsTheNetworkGetsIt() {
        Map<String, Object> record = object(golden("normalization"));
        Metadata metadata = TestData.metadata();
        Image picture = TestData.sample("astronaut.png").toImage();
        Image crop = Crops.cut(picture, box(record.get("box")), metadata);
        Tensor values = Crops.normalize(Collections.singletonList(crop), 0, 1, metadata, Layout.NCHW);
        assertArrayEquals(integers(record.get("shape")), values.shape());
        assertEquals((long) number(record.get("crc32")), TestData.crc32(values.data));
        Tensor other = Crops.normalize(Collections.singletonList(crop), 0, 1, metadata, Layout.NHWC);
        assertArrayEquals(new int[] {1, 32, 32, 3}, other.shape());
        assertArrayEquals(values.data, Replay.toNchw(other).data);
    }

    @Test
    void turns() {
        for (Object each : list(golden("turns"))) {
            assertEquals(
                    number(object(each).get("turn")), Quality.turn(numbers(object(each).get("landmarks"))), CLOSE);
        }
        assertEquals(Double.POSITIVE_INFINITY, Quality.turn(new double[] {1, 2, 1, 2, 3, 3, 0, 0, 0, 0}));
    }

    @Test
    void colorsOfVideoAsOpenCvConvertsThem() {
        Map<String, Object> record = object(golden("colors"));
        int height = (int) number(record.get("height"));
        int width = (int) number(record.get("width"));
        ByteBuffer planes = ByteBuffer.wrap(unpack(record.get("planes")));
        ByteBuffer cb = planes.duplicate();
        ByteBuffer cr = planes.duplicate();
        cb.position(height * width);
        cr.position(height * width * 5 / 4);
        Frame frame = Frame.yuv420(width, height, planes, width, cb, cr, width / 2, 1, YuvColor.BT601_LIMITED);
        // OpenCV's factors are rounded to three digits, so that levels may differ by one.
        assertTrue(TestData.difference(unpack(record.get("rgb")), frame.toImage().rgb()) <= 1);
    }

    @Test
    void tracks() {
        for (Object each : list(golden("links"))) {
            Tracker tracker = new Tracker(VideoSettings.standard());
            List<Object> frames = list(object(each).get("frames"));
            for (int i = 0; i < frames.size(); i++) {
                List<FaceFrame> faces = new ArrayList<>();
                for (Object edges : list(frames.get(i))) {
                    faces.add(faceFrame(i, box(edges), faces.size(), true));
                }
                tracker.add(faces);
            }
            List<Object> expected = list(object(each).get("tracks"));
            assertEquals(expected.size(), tracker.tracks().size());
            for (int t = 0; t < expected.size(); t++) {
                StringBuilder found = new StringBuilder();
                for (FaceFrame face : tracker.tracks().get(t)) {
                    found.append(found.length() > 0 ? ", " : "");
                    found.append(Arrays.asList((long) face.timeS, (long) face.evidence));
                }
                assertEquals(expected.get(t).toString(), "[" + found + "]");
            }
        }
    }

    private static FaceFrame faceFrame(double timeS, Box box, double evidence, boolean judged) {
        return new FaceFrame(timeS, new Face(box, 1, new double[10]), evidence, new Quality(60, 0.3, 0.1), judged);
    }

    @Test
    void scoresOfTracks() {
        for (Object each : list(golden("aggregates"))) {
            Map<String, Object> record = object(each);
            double[] evidence = numbers(record.get("evidence"));
            assertEquals(number(record.get("trimmed")), LogOdds.trimmedMean(evidence, 0.2), CLOSE);
            List<FaceFrame> frames = new ArrayList<>();
            for (int i = 0; i < evidence.length; i++) {
                boolean judged = (Boolean) list(record.get("judged")).get(i);
                frames.add(faceFrame(i, new Box(0, 0, 1, 1), evidence[i], judged));
            }
            FaceTrack track = FaceTrack.of(0, frames, (int) number(record.get("least")), 0.2);
            assertEquals(number(record.get("score")), track.score, CLOSE);
            assertEquals(record.get("thin"), track.thin);
        }
    }

    @Test
    void operatingPointsAndVerdicts() {
        Metadata metadata = TestData.metadata();
        for (Object each : list(golden("points"))) {
            Map<String, Object> record = object(each);
            OperatingPoint point = pointOf(metadata, object(record.get("asked")));
            assertEquals(number(record.get("threshold")), point.threshold, CLOSE);
            assertEquals(number(record.get("low")), point.low, CLOSE);
            assertEquals(number(record.get("high")), point.high, CLOSE);
            for (Object verdict : list(record.get("verdicts"))) {
                List<Object> values = list(verdict);
                Double score = values.get(0) == null ? null : (Double) number(values.get(0));
                // The edges themselves, which both sides compute, may differ in their last bit.
                for (double edge : new double[] {point.low, point.threshold, point.high}) {
                    score = score != null && Math.abs(score - edge) < CLOSE ? (Double) edge : score;
                }
                assertEquals(values.get(2), point.verdict(score, (Boolean) values.get(1)).label, record::toString);
            }
        }
    }

    private static OperatingPoint pointOf(Metadata metadata, Map<String, Object> asked) {
        if (asked.containsKey("threshold")) {
            return OperatingPoint.at(metadata, number(asked.get("threshold")));
        }
        return asked.isEmpty()
                ? OperatingPoint.of(metadata)
                : OperatingPoint.forFalsePositives(metadata, number(asked.get("max_false_positives")));
    }

    @Test
    void metadataThatAreRefused() {
        for (Object each : list(golden("refusals"))) {
            Map<String, Object> record = object(each);
            Map<String, Object> changed = object(Json.parse(TestData.JsonText.of(golden("metadata"))));
            Map<String, Object> place = changed;
            String[] path = ((String) record.get("path")).split("\\.");
            for (int i = 0; i + 1 < path.length; i++) {
                place = object(place.get(path[i]));
            }
            if (record.get("value") == null) {
                place.remove(path[path.length - 1]);
            } else {
                place.put(path[path.length - 1], record.get("value"));
            }
            String text = TestData.JsonText.of(changed);
            if ((Boolean) record.get("accepted")) {
                Metadata.fromJson(text);
            } else {
                String message = assertThrows(
                                ModelFileException.class, () -> Metadata.fromJson(text), record::toString)
                        .getMessage();
                assertTrue(message.contains("expected"), message);
            }
        }
    }

    @Test
    void theCascade() {
        assertSameFaces(Layout.NCHW);
    }

    @Test
    void theCascadeWithColorsSideBySide() {
        assertSameFaces(Layout.NHWC);
    }

    private static void assertSameFaces(Layout layout) {
        Map<String, Object> record = object(golden("cascade"));
        List<Object> calls = new ArrayList<>(list(record.get("calls")));
        FaceDetector detector = new FaceDetector(
                new Replay("pnet", calls, layout),
                new Replay("rnet", calls, layout),
                new Replay("onet", calls, layout),
                FaceSettings.standard(layout));
        Image picture = TestData.sample((String) record.get("picture")).toImage();
        List<Face> faces = detector.detect(picture, (int) number(record.get("min_face")));
        assertTrue(calls.isEmpty(), "calls that were not made");
        List<Object> expected = list(record.get("faces"));
        assertEquals(expected.size(), faces.size());
        for (int i = 0; i < faces.size(); i++) {
            Map<String, Object> golden = object(expected.get(i));
            Box box = faces.get(i).box;
            assertArrayEquals(numbers(golden.get("box")), new double[] {box.x0, box.y0, box.x1, box.y1});
            assertEquals(number(golden.get("score")), faces.get(i).score);
            List<Double> landmarks = new ArrayList<>();
            for (Object point : list(golden.get("landmarks"))) {
                Arrays.stream(numbers(point)).forEach(landmarks::add);
            }
            assertArrayEquals(
                    landmarks.stream().mapToDouble(each -> each).toArray(), faces.get(i).landmarks());
        }
    }

    /** A network whose answers were noted; what it is asked must be the same float32 values, bit for bit. */
    private static final class Replay implements Interpreter {
        private final String name;
        private final List<Object> calls;
        private final Layout layout;

        Replay(String name, List<Object> calls, Layout layout) {
            this.name = name;
            this.calls = calls;
            this.layout = layout;
        }

        @Override
        public Tensor[] run(Tensor image, String... outputs) {
            Map<String, Object> call = object(calls.remove(0));
            Tensor asked = layout == Layout.NCHW ? image : toNchw(image);
            assertEquals(call.get("network"), name);
            assertArrayEquals(integers(call.get("shape")), asked.shape());
            assertEquals((long) number(call.get("crc32")), TestData.crc32(asked.data), name);
            Tensor[] answers = new Tensor[outputs.length];
            for (int i = 0; i < answers.length; i++) {
                Map<String, Object> output = object(object(call.get("outputs")).get(outputs[i]));
                answers[i] = new Tensor(TestData.unpackFloats(output.get("data")), integers(output.get("shape")));
                if (layout == Layout.NHWC && answers[i].shape().length == 4) {
                    answers[i] = toNhwc(answers[i]);
                }
            }
            return answers;
        }

        static Tensor toNchw(Tensor image) {
            int[] shape = image.shape();
            int pixels = shape[1] * shape[2];
            float[] data = new float[image.data.length];
            for (int i = 0; i < data.length; i++) {
                int color = i % shape[3];
                int pixel = i / shape[3] % pixels;
                data[(i / shape[3] / pixels * shape[3] + color) * pixels + pixel] = image.data[i];
            }
            return new Tensor(data, shape[0], shape[3], shape[1], shape[2]);
        }

        static Tensor toNhwc(Tensor image) {
            int[] shape = image.shape();
            int pixels = shape[2] * shape[3];
            float[] data = new float[image.data.length];
            for (int i = 0; i < data.length; i++) {
                int pixel = i % pixels;
                int color = i / pixels % shape[1];
                data[(i / pixels / shape[1] * pixels + pixel) * shape[1] + color] = image.data[i];
            }
            return new Tensor(data, shape[0], shape[2], shape[3], shape[1]);
        }

        @Override
        public void close() {}
    }
}
