package dev.edgefake.android;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.net.Uri;
import dev.edgefake.core.CancelledException;
import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.InputException;
import dev.edgefake.core.ModelFileException;
import dev.edgefake.jobs.Job;
import dev.edgefake.jobs.PermissionException;
import dev.edgefake.jobs.Progress;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.Test;

/** On a device: whatever goes wrong has its end, and the app goes on. */
public class BadInputDeviceTest {
    private static Bitmap astronaut() throws IOException {
        return BitmapFactory.decodeStream(DeviceData.assets().open("clips/astronaut.png"));
    }

    private static EdgefakeException error(Edgefake edgefake, Uri uri) throws InterruptedException {
        DeviceData.Heard heard = new DeviceData.Heard();
        heard.of(edgefake.video(uri, heard));
        assertNotNull("no error for " + uri, heard.error);
        return heard.error;
    }

    private static Uri file(String name, byte[] bytes) throws IOException {
        File file = new File(DeviceData.context().getCacheDir(), name);
        try (FileOutputStream out = new FileOutputStream(file)) {
            out.write(bytes);
        }
        return Uri.fromFile(file);
    }

    @Test
    public void bitmapsThatAreRecycled() throws Exception {
        try (Edgefake edgefake = DeviceData.open()) {
            DeviceData.Heard before = new DeviceData.Heard();
            Bitmap bitmap = astronaut();
            Bitmap fewerColours = bitmap.copy(Bitmap.Config.RGB_565, false);
            Job kept = edgefake.picture(bitmap, 0, before);
            bitmap.recycle(); // it was copied
            before.of(kept);
            assertNotNull(before.result);
            DeviceData.Heard after = new DeviceData.Heard();
            after.of(edgefake.picture(bitmap, 0, after));
            assertSame(InputException.class, after.error.getClass());
            DeviceData.Heard other = new DeviceData.Heard();
            other.of(edgefake.picture(fewerColours, 0, other));
            assertEquals(1, other.result.faces.size());
            DeviceData.Heard askew = new DeviceData.Heard();
            askew.of(edgefake.picture(fewerColours, 30, askew));
            assertSame(InputException.class, askew.error.getClass());
        }
    }

    @Test
    public void filesThatAreNoVideos() throws Exception {
        byte[] video = DeviceData.bytes(DeviceData.assets().open("clips/real.mp4"));
        try (Edgefake edgefake = DeviceData.open()) {
            assertTrue(error(edgefake, file("empty.mp4", new byte[0])) instanceof InputException);
            assertTrue(error(edgefake, file("text.mp4", "no video".getBytes())) instanceof InputException);
            assertTrue(error(edgefake, file("cut.mp4", Arrays.copyOf(video, 500))) instanceof InputException);
            assertTrue(error(edgefake, Uri.fromFile(new File("/no/such/file.mp4"))) instanceof InputException);
            assertTrue(error(edgefake, Uri.parse("https://example.org/a.mp4")) instanceof InputException);
        }
    }

    /** Of a provider that asks for a permission which this app has not. */
    @Test
    public void missingPermission() throws Exception {
        try (Edgefake edgefake = DeviceData.open()) {
            assertSame(
                    PermissionException.class,
                    error(edgefake, Uri.parse("content://com.android.contacts/contacts/1/photo")).getClass());
        }
    }

    @Test
    public void corruptAssets() throws Exception {
        for (String damaged : new String[] {"classifier.tflite", "rnet.tflite", "edgefake.json"}) {
            try (Edgefake edgefake = Edgefake.open(
                    DeviceData.context(),
                    name -> {
                        byte[] bytes = DeviceData.bytes(DeviceData.bundle().open(name));
                        bytes[bytes.length / 2] ^= name.equals(damaged) ? (byte) 0x80 : 0;
                        return new ByteArrayInputStream(bytes);
                    },
                    1,
                    Runnable::run)) {
                DeviceData.Heard heard = new DeviceData.Heard();
                heard.of(edgefake.picture(astronaut(), 0, heard));
                assertSame(damaged, ModelFileException.class, heard.error.getClass());
            }
        }
        try (Edgefake edgefake = Edgefake.open(DeviceData.context(), "no such folder", 1, Runnable::run)) {
            DeviceData.Heard heard = new DeviceData.Heard();
            heard.of(edgefake.picture(astronaut(), 0, heard));
            assertSame(ModelFileException.class, heard.error.getClass());
        }
    }

    @Test
    public void closedInTheMiddleOfARun() throws Exception {
        Edgefake edgefake = DeviceData.open();
        CountDownLatch first = new CountDownLatch(1);
        DeviceData.Heard heard = new DeviceData.Heard() {
            @Override
            public void onFaces(Progress progress) {
                first.countDown();
            }
        };
        Uri uri = file("long.mp4", DeviceData.bytes(DeviceData.assets().open("clips/real.mp4")));
        Job job = edgefake.video(uri, heard);
        assertTrue(first.await(120, TimeUnit.SECONDS));
        edgefake.close();
        heard.of(job);
        assertTrue(heard.cancelled);
        assertThrows(CancelledException.class, () -> edgefake.video(uri, heard));
    }
}
