package dev.edgefake.core;

/** From the scores of frames to a verdict. Immutable; the defaults are those of the Python runtime. */
public final class VideoSettings {
    /** Every so many frames of a video one is to be scored, from the first. */
    public final int every;

    /** Judged frames that a track needs for a verdict, or all that were scored where those are fewer. */
    public final int leastFrames;

    /** A track's log-odds are their mean without this share of the lowest and of the highest, each rounded down. */
    public final double trim;

    /** Largest move of a face's centre between scored frames, in sides of its box. */
    public final double maxDistance;

    /** Largest ratio of the box's sides between scored frames. */
    public final double maxGrowth;

    /** Scored frames that a face may be missing before its track ends. */
    public final int maxGap;

    private VideoSettings(
            int every, int leastFrames, double trim, double maxDistance, double maxGrowth, int maxGap) {
        if (every < 1 || leastFrames < 1 || maxGap < 1) {
            throw new UsageException("every, least_frames, max_gap: expected 1 or more, got " + every + ", "
                    + leastFrames + ", " + maxGap);
        }
        if (!(trim >= 0 && trim < 0.5)) {
            throw new UsageException("trim: expected 0 to below 0.5, got " + trim);
        }
        if (!(maxDistance > 0 && maxGrowth >= 1)) {
            throw new UsageException("max_distance, max_growth: expected ones above 0 and from 1 on, got " + maxDistance
                    + ", " + maxGrowth);
        }
        this.every = every;
        this.leastFrames = leastFrames;
        this.trim = trim;
        this.maxDistance = maxDistance;
        this.maxGrowth = maxGrowth;
        this.maxGap = maxGap;
    }

    /** The Python runtime's settings. */
    public static VideoSettings standard() {
        return new VideoSettings(30, 2, 0.2, 1.0, 1.8, 3);
    }

    /**
     * From the object "video" of a bundle's description.
     *
     * @throws ModelFileException a field is missing, of another type or out of range.
     */
    static VideoSettings of(Fields video) {
        try {
            return new VideoSettings(
                    video.integer("every"),
                    video.integer("least_frames"),
                    video.number("trim"),
                    video.number("max_distance"),
                    video.number("max_growth"),
                    video.integer("max_gap"));
        } catch (UsageException error) {
            throw new ModelFileException("video: " + error.getMessage(), error);
        }
    }

    /** The same, with a frame scored every so many, 1 or more. */
    public VideoSettings withEvery(int frames) {
        return new VideoSettings(frames, leastFrames, trim, maxDistance, maxGrowth, maxGap);
    }
}
