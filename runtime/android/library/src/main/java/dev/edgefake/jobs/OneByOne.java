package dev.edgefake.jobs;

import dev.edgefake.core.Tensor;
import dev.edgefake.core.UsageException;
import java.util.Arrays;
import java.util.function.Function;

/** A batch for a network that takes one picture at a time. */
public final class OneByOne {
    private OneByOne() {}

    /**
     * Runs every picture by itself and joins the answers along their first axis.
     *
     * @param batch pictures along the first axis, one or more.
     * @param network from a batch of one to its outputs, each with a first axis of one.
     * @throws UsageException an empty batch.
     */
    public static Tensor[] run(Tensor batch, Function<Tensor, Tensor[]> network) {
        int[] shape = batch.shape();
        if (shape.length == 0 || shape[0] < 1) {
            throw new UsageException("expected one picture or more, got a batch of the shape " + batch);
        }
        int count = shape[0];
        int size = batch.data.length / count;
        shape[0] = 1;
        Tensor[][] answers = new Tensor[count][];
        for (int i = 0; i < count; i++) {
            answers[i] = network.apply(new Tensor(Arrays.copyOfRange(batch.data, i * size, (i + 1) * size), shape));
        }
        Tensor[] joined = new Tensor[answers[0].length];
        for (int output = 0; output < joined.length; output++) {
            joined[output] = join(answers, output);
        }
        return joined;
    }

    private static Tensor join(Tensor[][] answers, int output) {
        int[] shape = answers[0][output].shape();
        int size = answers[0][output].data.length;
        float[] values = new float[size * answers.length];
        for (int i = 0; i < answers.length; i++) {
            System.arraycopy(answers[i][output].data, 0, values, i * size, size);
        }
        shape[0] = answers.length;
        return new Tensor(values, shape);
    }
}
