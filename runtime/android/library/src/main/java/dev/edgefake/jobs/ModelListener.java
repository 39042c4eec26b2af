package dev.edgefake.jobs;

import dev.edgefake.core.EdgefakeException;

/** Hears what a bundle says of its model: one of the two, once; neither where the detector is closed before. */
public interface ModelListener {
    /** The bundle is whole, and its networks are open. */
    void onModel(ModelInfo model);

    /** The bundle cannot be used. */
    void onError(EdgefakeException error);
}
