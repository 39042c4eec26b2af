package dev.edgefake.core;

/** What a detector says of a picture or video. */
public enum Verdict {
    /** The score reaches the threshold, and lies above the uncertain band. */
    FAKE("fake"),
    /** The score lies below the threshold and the band. */
    REAL("real"),
    /** The score lies in the band, or the evidence is thin. */
    UNCERTAIN("uncertain"),
    /** There is no face to judge, and so no score. */
    NO_FACE("no-face");

    /** As reports of edgefake name it. */
    public final String label;

    Verdict(String label) {
        this.label = label;
    }
}
