package dev.edgefake.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import java.util.Collections;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** JSON, and what is none. */
class JsonTest {
    @Test
    void values() {
        assertEquals(
                Arrays.asList(1L, -2.5, 1e3, true, false, null, "a\"\\/\b\f\n\r\t\u00e4\ud83d\ude00", 0L, -0.0),
                Json.parse(" [1,-2.5,1e3,true , false,null,\n\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d\\ude00\",0,-0.0]"));
        assertEquals(Collections.singletonMap("a", Collections.emptyMap()), Json.parse("{\"a\":1,\"a\":{ }}"));
        assertEquals(1e19, Json.parse("10000000000000000000"));
        assertEquals(Collections.emptyList(), Json.parse("[ ]"));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "", " ", "{", "[1", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "{'a':1}", "[1 2]", "1 2", "tru", "nul",
                "NaN", "Infinity", "-", "+1", "01", ".5", "1.", "1e", "1e+", "0x1", "\"", "\"\\x\"", "\"\\u12\"",
                "\"\\u123g\"", "\"\n\"", "[1]]", "{\"a\":1,}", "// 1", "\u00a01", "\"\\uff11\\uff11\"x"
            })
    void whatIsNoJson(String text) {
        assertThrows(ModelFileException.class, () -> Json.parse(text));
    }

    @Test
    void depthIsBounded() {
        char[] open = new char[1_000_000];
        Arrays.fill(open, '[');
        assertThrows(ModelFileException.class, () -> Json.parse(new String(open)));
    }

    @Test
    void damageIsRefusedOrChangesValues() {
        String text = TestData.JsonText.of(TestData.golden("metadata"));
        Random random = new Random(1);
        for (int i = 0; i < 3000; i++) {
            StringBuilder damaged = new StringBuilder(text);
            for (int n = random.nextInt(3); n >= 0; n--) {
                int at = random.nextInt(damaged.length());
                if (random.nextBoolean()) {
                    damaged.deleteCharAt(at);
                } else {
                    damaged.setCharAt(at, (char) random.nextInt(128));
                }
            }
            try {
                Metadata.fromJson(damaged.toString());
            } catch (ModelFileException expected) {
                // the one thing that may be thrown
            }
        }
    }
}
