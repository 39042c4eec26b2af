package dev.edgefake.android;

import android.media.Image;
import dev.edgefake.core.Frame;
import dev.edgefake.core.InputException;
import dev.edgefake.core.YuvColor;
import dev.edgefake.jobs.Job;
import dev.edgefake.jobs.LiveFrames;
import dev.edgefake.jobs.Turn;
import java.util.function.Supplier;

/**
 * Frames of a camera on their way to one verdict. Offer every frame from the camera's thread: the ones that are wanted
 * are copied before the call returns, the rest cost nothing, and either way the frame is yours to close. Thread-safe.
 */
public final class CameraRun {
    /** Ends it without a result; {@link #finish} asks for one. */
    public final Job job;

    private final LiveFrames frames;

    CameraRun(LiveFrames frames, Job job) {
        this.frames = frames;
        this.job = job;
    }

    /**
     * Offers a frame of Camera2.
     *
     * @param image YUV_420_888.
     * @param degrees by how much it is to be turned clockwise: {@link Turn#degrees}.
     * @param mirrored whether left and right are exchanged, as in previews; frames of an ImageReader are not.
     * @return whether it is judged.
     * @throws InputException it was closed, or is of another format.
     */
    public boolean offer(Image image, int degrees, boolean mirrored) {
        long timestamp;
        try {
            timestamp = image.getTimestamp();
        } catch (IllegalStateException error) {
            throw new InputException("expected a frame, got one that was closed; close it after this call", error);
        }
        return offer(timestamp, () -> Turn.upright(Images.copy(image, YuvColor.BT601_FULL), degrees, mirrored));
    }

    /**
     * Offers a frame from anywhere else.
     *
     * @param timestampNs when it was taken, nanoseconds from any start; a clock that goes back is borne: {@link LiveFrames}.
     * @param copy makes it, upright and with bytes of its own; called before this returns, and only where it is wanted.
     * @return whether it is judged.
     */
    public boolean offer(long timestampNs, Supplier<Frame> copy) {
        return !job.isOver() && frames.offer(timestampNs, copy);
    }

    /** No more frames: the listener gets the result of those that were taken. */
    public void finish() {
        frames.finish();
    }
}
