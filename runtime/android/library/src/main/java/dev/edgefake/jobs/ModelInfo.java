package dev.edgefake.jobs;

import dev.edgefake.core.Bundle;
import dev.edgefake.core.Metadata;
import dev.edgefake.core.VideoSettings;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;

/** What an app's bundle says of its model, for people. Immutable. */
public final class ModelInfo {
    private static final int MAX_BYTES = 1 << 20;

    /** Name, bits, threshold, band, quality floor. */
    public final Metadata metadata;

    /** Which frames of a video are scored, and how they become tracks. */
    public final VideoSettings video;

    /** The model's card, Markdown; empty where the bundle has none. */
    public final String card;

    /** Which licence covers which file; empty where the bundle does not say. */
    public final String notice;

    private ModelInfo(Metadata metadata, VideoSettings video, String card, String notice) {
        this.metadata = metadata;
        this.video = video;
        this.card = card;
        this.notice = notice;
    }

    /** Of a bundle that was read, with the texts beside it. */
    public static ModelInfo of(Bundle bundle, Bundle.Files files) {
        return new ModelInfo(bundle.metadata, bundle.video, text(files, "MODEL-CARD.md"), text(files, "NOTICE"));
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

    /** A text for people: none is better than no detector, so what cannot be read is empty. */
    private static String text(Bundle.Files files, String name) {
        try (InputStream stream = files.open(name)) {
            if (stream == null) {
                return "";
            }
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            byte[] part = new byte[1 << 14];
            for (int count = stream.read(part); count >= 0 && bytes.size() < MAX_BYTES; count = stream.read(part)) {
                bytes.write(part, 0, count);
            }
            return new String(bytes.toByteArray(), StandardCharsets.UTF_8);
        } catch (IOException error) {
            return "";
        }
    }
}
