package dev.edgefake.android;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;

import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.net.Uri;
import dev.edgefake.core.Bundle;
import dev.edgefake.core.Detector;
import dev.edgefake.core.Face;
import dev.edgefake.core.FaceDetector;
import dev.edgefake.core.FaceFrame;
import dev.edgefake.core.FaceTrack;
import dev.edgefake.core.Frame;
import dev.edgefake.core.Interpreter;
import dev.edgefake.core.Result;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.List;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;
import org.junit.Test;

/** On a device, against the golden values of the JVM's tests and what the Python runtime says of the samples. */
public class GoldenDeviceTest {
    /** Of scores, and of boxes in pixels, on the same frames: another processor's kernels round otherwise. */
    private static final double CLOSE = 1e-3;

    private static final double BOX = 0.05;

    /** Of scores, where the device decodes the video itself; docs/raspberry-pi.md says how far decoders move them. */
    private static final double DECODED = 0.1;

    private static Frame astronaut() throws IOException {
        return Bitmaps.copy(BitmapFactory.decodeStream(DeviceData.assets().open("clips/astronaut.png")));
    }

    private static void same(JSONObject box, String name, double expected, double actual, double within) {
        assertEquals(name + " of " + box, expected, actual, within);
    }

    /** The cascade alone, against golden.json: networks in LiteRT here, in ONNX Runtime there. */
    @Test
    public void facesOfThePicture() throws IOException, JSONException {
        JSONObject cascade = DeviceData.golden().getJSONObject("cascade");
        Bundle bundle = Bundle.read(DeviceData.bundle());
        Interpreter[] stages = new Interpreter[3];
        for (int i = 0; i < 3; i++) {
            Interpreter.Network network = Interpreter.Network.values()[i];
            stages[i] = LiteRtInterpreter.factory(2).open(network, bundle.model(network));
        }
        FaceDetector detector = new FaceDetector(stages[0], stages[1], stages[2], bundle.faces);
        List<Face> faces = detector.detect(astronaut().toImage(), cascade.getInt("min_face"));
        JSONArray expected = cascade.getJSONArray("faces");
        assertEquals(expected.length(), faces.size());
        for (int i = 0; i < faces.size(); i++) {
            JSONObject golden = expected.getJSONObject(i);
            sameBox(golden, golden.getJSONArray("box"), faces.get(i));
            same(golden, "score", golden.getDouble("score"), faces.get(i).score, CLOSE);
            double[] landmarks = faces.get(i).landmarks();
            for (int n = 0; n < landmarks.length; n++) {
                double place = golden.getJSONArray("landmarks").getJSONArray(n / 2).getDouble(n % 2);
                same(golden, "landmark " + n, place, landmarks[n], BOX);
            }
        }
        for (Interpreter stage : stages) {
            stage.close();
        }
    }

    private static void sameBox(JSONObject golden, JSONArray box, Face face) throws JSONException {
        double[] edges = {face.box.x0, face.box.y0, face.box.x1, face.box.y1};
        for (int n = 0; n < 4; n++) {
            same(golden, "edge " + n, box.getDouble(n), edges[n], BOX);
        }
    }

    /** The whole pipeline on the frames that Python decoded. */
    @Test
    public void clips() throws IOException, JSONException {
        JSONArray clips = DeviceData.clips().getJSONArray("litert");
        try (Detector detector = Detector.open(Bundle.read(DeviceData.bundle()), LiteRtInterpreter.factory(2))) {
            for (int i = 0; i < clips.length(); i++) {
                JSONObject clip = clips.getJSONObject(i);
                Detector.Run run = detector.begin();
                int n = 0;
                for (Frame frame : DeviceData.frames(clip)) {
                    run.add(frame, clip.getJSONArray("times_s").getDouble(n++));
                }
                compare(clip, run.finish());
            }
        }
    }

    private static void compare(JSONObject clip, Result result) throws JSONException {
        JSONArray tracks = clip.getJSONArray("tracks");
        assertEquals(tracks.length(), result.faces.size());
        for (int t = 0; t < tracks.length(); t++) {
            JSONObject golden = tracks.getJSONObject(t);
            FaceTrack track = result.faces.get(t);
            same(golden, "score", golden.getDouble("score"), track.score, CLOSE);
            JSONArray frames = golden.getJSONArray("frames");
            assertEquals(frames.length(), track.frames.size());
            for (int f = 0; f < frames.length(); f++) {
                FaceFrame frame = track.frames.get(f);
                sameBox(frames.getJSONObject(f), frames.getJSONObject(f).getJSONArray("box"), frame.face);
                same(golden, "P(fake)", frames.getJSONObject(f).getDouble("score"), frame.score, CLOSE);
            }
        }
        assertEquals(clip.getString("verdict"), result.verdict.label);
    }

    private static JSONObject clip(String name) throws IOException, JSONException {
        JSONArray clips = DeviceData.clips().getJSONArray("litert");
        for (int i = 0; i < clips.length(); i++) {
            if (clips.getJSONObject(i).getString("name").equals(name)) {
                return clips.getJSONObject(i);
            }
        }
        throw new AssertionError("expected " + name + " among the clips");
    }

    /** Through a bitmap, a job and a callback. */
    @Test
    public void aBitmap() throws Exception {
        Bitmap bitmap = BitmapFactory.decodeStream(DeviceData.assets().open("clips/astronaut.png"));
        try (Edgefake edgefake = DeviceData.open()) {
            DeviceData.Heard heard = new DeviceData.Heard();
            heard.of(edgefake.picture(bitmap, 0, heard));
            assertNull(heard.error);
            compare(clip("astronaut.png"), heard.result);
        }
    }

    /** Decoded on the device. */
    @Test
    public void videos() throws Exception {
        try (Edgefake edgefake = DeviceData.open()) {
            for (String name : new String[] {"real.mp4", "fake.mp4"}) {
                JSONObject golden = clip(name);
                File file = new File(DeviceData.context().getCacheDir(), name);
                try (FileOutputStream out = new FileOutputStream(file)) {
                    out.write(DeviceData.bytes(DeviceData.assets().open("clips/" + name)));
                }
                DeviceData.Heard heard = new DeviceData.Heard();
                heard.of(edgefake.video(Uri.fromFile(file), heard));
                assertNull(heard.error);
                JSONArray times = golden.getJSONArray("times_s");
                assertEquals(times.length(), heard.scored.size());
                for (int i = 0; i < times.length(); i++) {
                    assertEquals(times.getDouble(i), heard.scored.get(i).timeS, 0.02);
                    assertEquals(golden.getInt("width"), heard.scored.get(i).width);
                    assertEquals(golden.getInt("height"), heard.scored.get(i).height);
                }
                System.out.println(name + ": P(fake) " + heard.result.score + ", in Python "
                        + golden.getDouble("score"));
                assertEquals(golden.getDouble("score"), heard.result.score, DECODED);
                assertEquals(golden.getString("verdict"), heard.result.verdict.label);
            }
        }
    }
}
