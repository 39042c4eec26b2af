package dev.edgefake.jobs;

import dev.edgefake.core.CancelledException;

/** Asks whether work is still wanted; what takes long calls it between its steps. */
public interface Stop {
    /** @throws CancelledException it is not. */
    void check();
}
