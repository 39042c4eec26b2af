package dev.edgefake.jobs;

import dev.edgefake.core.FaceFrame;
import java.util.List;

/** What was found in one scored frame. Immutable. */
public final class Progress {
    /** Time of the frame, seconds from the start. */
    public final double timeS;

    /** Share of the video that is done, 0 to 1; NaN where its end is not known. */
    public final double share;

    /** Width of the upright frame, pixels. */
    public final int width;

    /** Height of the upright frame, pixels. */
    public final int height;

    /** Its faces with boxes in the upright frame and scores, the largest first. */
    public final List<FaceFrame> faces;

    Progress(TimedFrame frame, double share, List<FaceFrame> faces) {
        this.timeS = frame.timeS;
        this.share = share;
        this.width = frame.frame.width();
        this.height = frame.frame.height();
        this.faces = faces;
    }
}
