package dev.edgefake.android;

import static org.junit.Assert.assertTrue;

import android.content.Context;
import android.content.res.AssetManager;
import androidx.test.platform.app.InstrumentationRegistry;
import dev.edgefake.core.Bundle;
import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.Frame;
import dev.edgefake.core.Result;
import dev.edgefake.jobs.Job;
import dev.edgefake.jobs.Listener;
import dev.edgefake.jobs.Progress;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.json.JSONException;
import org.json.JSONObject;

/** What scripts/golden_android.py --clips wrote into the test's assets, and golden.json of core's tests. */
final class DeviceData {
    /** Frames, boxes and scores. */
    static final String CLIPS = "clips/";

    private DeviceData() {}

    static Context context() {
        return InstrumentationRegistry.getInstrumentation().getTargetContext();
    }

    static AssetManager assets() {
        return InstrumentationRegistry.getInstrumentation().getContext().getAssets();
    }

    /** The bundle beside the clips. */
    static Bundle.Files bundle() {
        return name -> assets().open(CLIPS + "bundle/" + name);
    }

    static Edgefake open() {
        return Edgefake.open(context(), bundle(), 2, Runnable::run);
    }

    static byte[] bytes(InputStream from) throws IOException {
        try (InputStream stream = from) {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            byte[] part = new byte[1 << 16];
            for (int count = stream.read(part); count >= 0; count = stream.read(part)) {
                bytes.write(part, 0, count);
            }
            return bytes.toByteArray();
        }
    }

    static JSONObject clips() throws IOException, JSONException {
        return new JSONObject(new String(bytes(assets().open(CLIPS + "clips.json")), StandardCharsets.UTF_8));
    }

    static JSONObject golden() throws IOException, JSONException {
        InputStream stream = DeviceData.class.getResourceAsStream("/golden.json");
        return new JSONObject(new String(bytes(stream), StandardCharsets.UTF_8));
    }

    /** Frames of a clip as Python decoded them. */
    static List<Frame> frames(JSONObject clip) throws IOException, JSONException {
        int width = clip.getInt("width");
        int height = clip.getInt("height");
        byte[] bytes = bytes(assets().open(CLIPS + clip.getString("name") + ".rgb"));
        List<Frame> frames = new ArrayList<>();
        for (int at = 0; at < bytes.length; at += 3 * width * height) {
            frames.add(Frame.packed(ByteBuffer.wrap(bytes, at, 3 * width * height), width, height, 3, 3L * width));
        }
        return frames;
    }

    /** Hears a job to its end. */
    static class Heard implements Listener {
        final List<Progress> scored = Collections.synchronizedList(new ArrayList<>());
        volatile Result result;
        volatile EdgefakeException error;
        volatile boolean cancelled;

        @Override
        public void onFaces(Progress progress) {
            scored.add(progress);
        }

        @Override
        public void onResult(Result found) {
            result = found;
        }

        @Override
        public void onError(EdgefakeException found) {
            error = found;
        }

        @Override
        public void onCancelled() {
            cancelled = true;
        }

        Heard of(Job job) throws InterruptedException {
            assertTrue("it does not end", job.await(300, TimeUnit.SECONDS));
            return this;
        }
    }
}
