package dev.edgefake.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * From frames to a verdict: faces, tracks, crops, scores. What an app opens once, and closes.
 *
 * <pre>{@code
 * Bundle bundle = Bundle.read(name -> assets.open("edgefake/" + name));
 * try (Detector detector = Detector.open(bundle, factory)) {
 *     Detector.Run run = detector.begin();
 *     run.add(frame, timeS);
 *     Result result = run.finish();
 * }
 * }</pre>
 *
 * <p>Thread-safe. Several runs may go on at once; they share the networks, which run one after the other. Nothing is
 * kept of a frame, so memory does not grow with a video's length but for its faces.
 */
public final class Detector implements AutoCloseable {
    private final FaceDetector faces;
    private final Classifier classifier;
    private final VideoSettings video;
    private final OperatingPoint point;
    private final List<Interpreter> interpreters;
    private int inside;
    private boolean closed;
    private boolean freed;

    private Detector(
            FaceDetector faces,
            Classifier classifier,
            VideoSettings video,
            OperatingPoint point,
            List<Interpreter> interpreters) {
        this.faces = faces;
        this.classifier = classifier;
        this.video = video;
        this.point = point;
        this.interpreters = interpreters;
    }

    /**
     * Opens a bundle's networks; those that were opened are closed again where one cannot be.
     *
     * @param factory opens one network after the other.
     * @throws ModelFileException a network cannot be run.
     */
    public static Detector open(Bundle bundle, Interpreter.Factory factory) {
        List<Interpreter> opened = new ArrayList<>();
        try {
            for (Interpreter.Network network : Interpreter.Network.values()) {
                opened.add(open(factory, network, bundle.model(network)));
            }
        } catch (RuntimeException | Error error) {
            closeAll(opened);
            throw error;
        }
        return of(
                bundle.metadata,
                opened.get(Interpreter.Network.CLASSIFIER.ordinal()),
                bundle.classifierLayout,
                opened.get(Interpreter.Network.PNET.ordinal()),
                opened.get(Interpreter.Network.RNET.ordinal()),
                opened.get(Interpreter.Network.ONET.ordinal()),
                bundle.faces,
                bundle.video);
    }

    private static Interpreter open(Interpreter.Factory factory, Interpreter.Network network, byte[] model) {
        try {
            Interpreter opened = factory.open(network, model);
            if (opened == null) {
                throw new ModelFileException(network + ": expected an open network, got none");
            }
            return opened;
        } catch (EdgefakeException error) {
            throw error;
        } catch (RuntimeException error) {
            throw new ModelFileException(
                    network + ": expected a network that can run here, got: " + Network.firstLine(error), error);
        }
    }

    /**
     * From networks that are open already; the detector closes them.
     *
     * @param metadata of the classifier.
     * @param classifier input "image", output "logits" of real and fake.
     * @param layout of the classifier's input.
     * @param pnet see {@link FaceDetector}.
     * @param rnet see {@link FaceDetector}.
     * @param onet see {@link FaceDetector}.
     * @param faces how to search for faces, and the layout of those networks' inputs.
     * @param video from the scores of frames to a verdict.
     */
    public static Detector of(
            Metadata metadata,
            Interpreter classifier,
            Layout layout,
            Interpreter pnet,
            Interpreter rnet,
            Interpreter onet,
            FaceSettings faces,
            VideoSettings video) {
        List<Interpreter> all = new ArrayList<>();
        Collections.addAll(all, pnet, rnet, onet, classifier);
        return new Detector(
                new FaceDetector(pnet, rnet, onet, faces),
                new Classifier(metadata, classifier, layout),
                video,
                OperatingPoint.of(metadata),
                all);
    }

    /** What the classifier's file says of itself. */
    public Metadata metadata() {
        return classifier.metadata;
    }

    /** From the scores of frames to a verdict. */
    public VideoSettings video() {
        return video;
    }

    /** Begins a video at the model's own operating point. */
    public Run begin() {
        return begin(point);
    }

    /**
     * Begins a video.
     *
     * @param point where real ends and fake begins.
     * @throws CancelledException the detector is closed.
     */
    public Run begin(OperatingPoint point) {
        enter(null);
        leave();
        return new Run(point);
    }

    /** Judges a single picture. Throws as {@link Run#add} does. */
    public Result detect(Frame picture) {
        Run run = begin();
        run.add(picture, 0);
        return run.finish();
    }

    /**
     * Ends every run: what goes on in other threads stops at its next step with a {@link CancelledException}. Does not
     * wait for them; the networks are freed when the last one has stopped, at once where there is none. A second call
     * does nothing.
     */
    @Override
    public void close() {
        boolean free;
        synchronized (this) {
            closed = true;
            free = inside == 0 && !freed;
            freed |= free;
        }
        if (free) {
            closeAll(interpreters);
        }
    }

    private static void closeAll(List<Interpreter> interpreters) {
        RuntimeException first = null;
        for (Interpreter interpreter : interpreters) {
            try {
                interpreter.close();
            } catch (RuntimeException error) {
                first = first == null ? error : first;
            }
        }
        if (first != null) {
            throw first;
        }
    }

    private synchronized void enter(Run run) {
        check(run);
        inside++;
    }

    private synchronized void check(Run run) {
        if (closed) {
            throw new CancelledException("expected an open detector, got one that was closed; open another");
        }
        if (run != null && run.cancelled) {
            throw new CancelledException("expected a run that goes on, got one that was cancelled; begin another");
        }
    }

    private void leave() {
        boolean free;
        synchronized (this) {
            inside--;
            free = closed && inside == 0 && !freed;
            freed |= free;
        }
        if (free) {
            closeAll(interpreters);
        }
    }

    /** One video or picture. Its frames come one after the other, in order of time; another thread may cancel it. */
    public final class Run {
        private final Tracker tracker = new Tracker(video);
        private final OperatingPoint point;
        private volatile boolean cancelled;
        private double lastTimeS = Double.NEGATIVE_INFINITY;

        private Run(OperatingPoint point) {
            this.point = point;
        }

        /**
         * Judges the next frame. A frame that cannot be judged leaves the run as it was, so that it may go on.
         *
         * @param frame any size, see {@link VideoSettings#every} for which frames of a video.
         * @param timeS seconds from the start, not less than that of the frame before.
         * @return the faces in it that are sure enough to be scored, the largest first.
         * @throws InputException the frame cannot be read, or does not fit into memory.
         * @throws ModelFileException a network fails.
         * @throws CancelledException the run was cancelled, or the detector closed.
         * @throws UsageException a time that is no number, or goes back.
         */
        public synchronized List<FaceFrame> add(Frame frame, double timeS) {
            if (!(timeS >= lastTimeS) || Double.isInfinite(timeS)) {
                throw new UsageException("time: expected seconds that do not go back, got " + timeS + " after "
                        + lastTimeS);
            }
            enter(this);
            try {
                List<FaceFrame> found = look(frame.toImage(), timeS);
                check(this);
                tracker.add(found);
                lastTimeS = timeS;
                return Collections.unmodifiableList(found);
            } catch (OutOfMemoryError error) {
                throw new InputException("expected a frame that fits into memory, got " + frame.width() + " x "
                        + frame.height() + "; scale it down", error);
            } finally {
                leave();
            }
        }

        private List<FaceFrame> look(Image image, double timeS) {
            FaceDetector.Checkpoint checkpoint = () -> check(this);
            Metadata metadata = classifier.metadata;
            List<Face> scored = new ArrayList<>();
            List<Image> crops = new ArrayList<>();
            int minFace = faces.settings().minFaceFor(image.height, image.width);
            for (Face face : faces.detect(image, minFace, checkpoint)) {
                if (face.score >= faces.settings().leastScore) {
                    scored.add(face);
                    crops.add(Crops.cut(image, face.box, metadata));
                }
            }
            double[] evidence = classifier.evidence(crops, checkpoint);
            List<FaceFrame> found = new ArrayList<>();
            for (int i = 0; i < evidence.length; i++) {
                Quality quality = Quality.of(crops.get(i), scored.get(i));
                boolean judged = quality.isGood(metadata.quality);
                found.add(new FaceFrame(timeS, scored.get(i), evidence[i], quality, judged));
            }
            return found;
        }

        /**
         * The verdict on the frames so far; more may follow.
         *
         * @throws CancelledException the run was cancelled, or the detector closed.
         */
        public synchronized Result finish() {
            check(this);
            int least = Math.min(video.leastFrames, tracker.samples());
            List<FaceTrack> tracks = new ArrayList<>();
            for (List<FaceFrame> frames : tracker.tracks()) {
                tracks.add(FaceTrack.of(tracks.size(), frames, least, video.trim));
            }
            FaceTrack worst = FaceTrack.worst(tracks);
            Double score = worst == null ? null : (Double) worst.score;
            Verdict verdict = point.verdict(score, worst != null && worst.thin);
            return new Result(verdict, score, tracker.samples(), Collections.unmodifiableList(tracks));
        }

        /** Ends the run from any thread; it stops at its next step. Does not wait. */
        public void cancel() {
            cancelled = true;
        }
    }
}
