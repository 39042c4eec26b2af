package dev.edgefake.core;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * What {@code edgefake export --bundle android} writes: a folder with the networks, and edgefake.json that says what they
 * are. Every file is checked against its size and SHA-256 there before it is used. Immutable.
 */
public final class Bundle {
    /** Name of the description. */
    public static final String DESCRIPTION = "edgefake.json";

    /** Version of the description; higher ones are refused. */
    public static final int SCHEMA = 1;

    /** Largest file that is read, bytes; no file of a bundle comes near it. */
    private static final int MAX_BYTES = 1 << 28;

    private static final String NO_TEXT = "expected UTF-8, got bytes that are none; export it again";

    /** What the classifier's file says of itself. */
    public final Metadata metadata;

    /** How to search for faces. */
    public final FaceSettings faces;

    /** From the scores of frames to a verdict. */
    public final VideoSettings video;

    final Layout classifierLayout;
    private final Map<Interpreter.Network, byte[]> models;
    private final Map<String, Fields> listed;

    /** Where a bundle's files are: the assets of an app, a folder. */
    public interface Files {
        /**
         * Opens a file of the bundle.
         *
         * @param name such as "edgefake.json", without a folder.
         * @throws IOException it is not there, or cannot be read.
         */
        InputStream open(String name) throws IOException;
    }

    private Bundle(
            Metadata metadata,
            FaceSettings faces,
            VideoSettings video,
            Layout classifierLayout,
            Map<Interpreter.Network, byte[]> models,
            Map<String, Fields> listed) {
        this.metadata = metadata;
        this.faces = faces;
        this.video = video;
        this.classifierLayout = classifierLayout;
        this.models = models;
        this.listed = listed;
    }

    /**
     * Reads a bundle, such as {@code Bundle.read(name -> context.getAssets().open("edgefake/" + name))}.
     *
     * @throws ModelFileException a file is missing, damaged, or of another version than the description.
     */
    public static Bundle read(Files files) {
        Fields root;
        try {
            root = Fields.parse(text(load(files, DESCRIPTION)));
            root.require("bundle", "edgefake-android");
            int schema = root.integer("schema");
            if (schema < 1 || schema > SCHEMA) {
                throw new ModelFileException("schema: expected " + SCHEMA + ", got " + schema
                        + "; update the library, or export the bundle with its version of edgefake");
            }
        } catch (CharacterCodingException error) {
            throw new ModelFileException(DESCRIPTION + ": " + NO_TEXT, error);
        } catch (ModelFileException error) {
            throw new ModelFileException(DESCRIPTION + ": " + error.getMessage(), error);
        }
        return read(files, root);
    }

    private static Bundle read(Files files, Fields root) {
        Metadata metadata;
        FaceSettings faces;
        VideoSettings video;
        Layout layout;
        Map<Interpreter.Network, byte[]> models = new HashMap<>();
        try {
            metadata = Metadata.of(root.object("model"));
            faces = FaceSettings.of(root.object("faces"));
            video = VideoSettings.of(root.object("video"));
            layout = root.object("classifier").layout("layout");
        } catch (ModelFileException error) {
            throw new ModelFileException(DESCRIPTION + ": " + error.getMessage(), error);
        }
        Map<String, Fields> listed = listed(root);
        for (Interpreter.Network network : Interpreter.Network.values()) {
            boolean classifier = network == Interpreter.Network.CLASSIFIER;
            Fields entry = classifier
                    ? root.object("classifier")
                    : root.object("faces").object(network.name().toLowerCase(Locale.ROOT));
            models.put(network, checked(files, entry.string("file"), listed));
        }
        String own = ModelFile.metadata(models.get(Interpreter.Network.CLASSIFIER));
        if (own == null || !Fields.parse(own).values().equals(root.object("model").values())) {
            throw new ModelFileException(root.object("classifier").string("file") + ": expected the model that "
                    + DESCRIPTION + " describes, got another one; export the bundle again");
        }
        return new Bundle(metadata, faces, video, layout, models, listed);
    }

    private static Map<String, Fields> listed(Fields root) {
        Map<String, Fields> listed = new HashMap<>();
        for (Fields file : root.objects("files")) {
            listed.put(file.string("file"), file);
        }
        return listed;
    }

    /** A file that is as the description says. */
    private static byte[] checked(Files files, String name, Map<String, Fields> listed) {
        if (name.isEmpty() || name.startsWith(".") || name.indexOf('/') >= 0 || name.indexOf('\\') >= 0) {
            throw new ModelFileException(DESCRIPTION + ": expected names of files beside it, got " + name);
        }
        Fields entry = listed.get(name);
        if (entry == null) {
            throw new ModelFileException(DESCRIPTION + ": expected " + name + " among its files; export it again");
        }
        byte[] bytes = load(files, name);
        String sha256 = sha256(bytes);
        if (bytes.length != entry.integer("bytes") || !sha256.equals(entry.string("sha256"))) {
            throw new ModelFileException(name + ": expected " + entry.integer("bytes") + " bytes with SHA-256 "
                    + entry.string("sha256") + ", got " + bytes.length + " with " + sha256
                    + "; copy the whole bundle again");
        }
        return bytes;
    }

    private static byte[] load(Files files, String name) {
        try (InputStream stream = files.open(name)) {
            if (stream == null) {
                throw new IOException("no such file");
            }
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            byte[] part = new byte[1 << 16];
            for (int count = stream.read(part); count >= 0; count = stream.read(part)) {
                bytes.write(part, 0, count);
                if (bytes.size() > MAX_BYTES) {
                    throw new IOException("more than " + MAX_BYTES + " bytes");
                }
            }
            return bytes.toByteArray();
        } catch (IOException error) {
            throw new ModelFileException(name + ": expected a file of the bundle, got: " + Network.firstLine(error)
                    + "; copy the whole bundle again", error);
        }
    }

    private static String text(byte[] bytes) throws CharacterCodingException {
        return StandardCharsets.UTF_8
                .newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .decode(ByteBuffer.wrap(bytes))
                .toString();
    }

    private static String sha256(byte[] bytes) {
        try {
            StringBuilder hex = new StringBuilder();
            for (byte b : MessageDigest.getInstance("SHA-256").digest(bytes)) {
                hex.append(String.format(Locale.ROOT, "%02x", b));
            }
            return hex.toString();
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error); // every Java has it
        }
    }

    /** The bytes of a network's file; a copy. */
    public byte[] model(Interpreter.Network network) {
        return models.get(network).clone();
    }

    /** Whether the description lists a file of this name, such as "MODEL-CARD.md", which not every bundle has. */
    public boolean lists(String name) {
        return listed.containsKey(name);
    }

    /**
     * The text of a file that the description lists; read and checked anew.
     *
     * @param files where the bundle was read from.
     * @throws ModelFileException it is not listed, missing, damaged, or no UTF-8.
     */
    public String text(Files files, String name) {
        try {
            return text(checked(files, name, listed));
        } catch (CharacterCodingException error) {
            throw new ModelFileException(name + ": " + NO_TEXT, error);
        }
    }
}
