package dev.edgefake.jobs;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.edgefake.core.Tensor;
import dev.edgefake.core.UsageException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class OneByOneTest {
    @Test
    void picturesInTheirOrder() {
        Tensor batch = new Tensor(new float[] {1, 2, 3, 4, 5, 6}, 3, 1, 2);
        List<String> shapes = new ArrayList<>();
        Tensor[] answers = OneByOne.run(batch, one -> {
            shapes.add(one.toString());
            float a = one.data[0];
            float b = one.data[1];
            return new Tensor[] {new Tensor(new float[] {a + b}, 1, 1), new Tensor(new float[] {a, b, a * b}, 1, 3)};
        });
        assertEquals(java.util.Collections.nCopies(3, "[1, 1, 2]"), shapes);
        assertEquals("[3, 1]", answers[0].toString());
        assertArrayEquals(new float[] {3, 7, 11}, answers[0].data);
        assertEquals("[3, 3]", answers[1].toString());
        assertArrayEquals(new float[] {1, 2, 2, 3, 4, 12, 5, 6, 30}, answers[1].data);
    }

    @Test
    void noPictures() {
        assertThrows(UsageException.class, () -> OneByOne.run(new Tensor(new float[0], 0, 2), one -> null));
        assertThrows(UsageException.class, () -> OneByOne.run(new Tensor(new float[1]), one -> null));
    }
}
