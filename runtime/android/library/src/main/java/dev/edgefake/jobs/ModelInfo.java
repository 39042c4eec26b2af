package dev.edgefake.jobs;

import dev.edgefake.core.Bundle;
import dev.edgefake.core.Metadata;
import dev.edgefake.core.ModelFileException;
import dev.edgefake.core.VideoSettings;

/** What an app's bundle says of its model, for people. Immutable. */
public final class ModelInfo {
    /** Name, bits, threshold, band, quality floor. */
    public final Metadata metadata;

    /** Which frames of a video are scored, and how they become tracks. */
    public final VideoSettings video;

    /** The model's card, Markdown; empty where the bundle lists none. */
    public final String card;

    /** Which licence covers which file; empty where the bundle lists none that says so. */
    public final String notice;

    private ModelInfo(Metadata metadata, VideoSettings video, String card, String notice) {
        this.metadata = metadata;
        this.video = video;
        this.card = card;
        this.notice = notice;
    }

    /**
     * Of a bundle that was read, with the texts beside it.
     *
     * @param files where the bundle was read from.
     * @throws ModelFileException a text that the bundle lists is missing or damaged.
     */
    public static ModelInfo of(Bundle bundle, Bundle.Files files) {
        return new ModelInfo(
                bundle.metadata, bundle.video, text(bundle, files, "MODEL-CARD.md"), text(bundle, files, "NOTICE"));
    }

    /** A section of the card without its heading, such as "Limits" or "Misuse"; empty where there is none. */
    public String section(String heading) {
        StringBuilder found = new StringBuilder();
        boolean inside = false;
        for (String line : card.split("\r?\n")) {
            if (line.startsWith("## ")) {
                inside = line.substring(3).trim().equals(heading);
            } else if (inside) {
                found.append(line).append('\n');
            }
        }
        return found.toString().trim();
    }

    private static String text(Bundle bundle, Bundle.Files files, String name) {
        return bundle.lists(name) ? bundle.text(files, name) : "";
    }
}
