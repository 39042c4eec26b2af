package dev.edgefake.sample;

import dev.edgefake.core.FaceTrack;
import dev.edgefake.core.Metadata;
import dev.edgefake.core.Result;
import dev.edgefake.jobs.ModelInfo;
import java.util.Locale;

/** What the app says. */
final class Texts {
    private Texts() {}

    /** A verdict with the scores behind it. */
    static String of(Result result) {
        StringBuilder text = new StringBuilder(result.verdict.label);
        if (result.score != null) {
            text.append(String.format(Locale.ROOT, ", P(fake) %.2f", result.score));
        }
        text.append(String.format(Locale.ROOT, "; %d frames scored\n", result.framesScored));
        for (FaceTrack face : result.faces) {
            text.append(String.format(
                    Locale.ROOT,
                    "face %d: %.2f from %d frames, %.1f to %.1f s%s\n",
                    face.track + 1,
                    face.score,
                    face.frames.size(),
                    face.frames.get(0).timeS,
                    face.frames.get(face.frames.size() - 1).timeS,
                    face.thin ? ", thin evidence" : ""));
        }
        return text.append("A score is no proof.").toString();
    }

    /** Where an app was asked for a video, and hands none back though it says that all is well. */
    static String noVideo(boolean recorded) {
        return "expected a video from the app that " + (recorded ? "records, got none; record one and pick it"
                : "picks videos, got none; pick it with another app");
    }

    /** What the bundle says of its model, its limits first. */
    static String of(ModelInfo model) {
        Metadata metadata = model.metadata;
        StringBuilder text = new StringBuilder();
        text.append(String.format(
                Locale.ROOT,
                "%s, %d bits, edgefake %s. Fake from %.2f; uncertain from %.2f to below %.2f. One frame in %d is"
                        + " scored.\n",
                metadata.name,
                metadata.bits,
                metadata.edgefake,
                metadata.threshold,
                metadata.uncertain.low,
                metadata.uncertain.high,
                model.video.every));
        if (metadata.quality != null) {
            text.append(String.format(
                    Locale.ROOT, "Faces below %.0f pixels, blurred or turned away are set aside (grey).\n",
                    metadata.quality.side));
        }
        for (String heading : new String[] {"Limits", "Misuse", "Intended use"}) {
            String section = model.section(heading);
            if (!section.isEmpty()) {
                text.append('\n').append(heading).append('\n').append(section).append('\n');
            }
        }
        if (model.card.isEmpty()) {
            text.append("\nThis bundle has no model card: nothing is known of its limits.\n");
        }
        return text.append('\n').append(model.notice).toString().trim();
    }
}
