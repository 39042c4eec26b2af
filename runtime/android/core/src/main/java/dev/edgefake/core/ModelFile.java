package dev.edgefake.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Finds edgefake's entry in a model file, told by its content: ONNX (protobuf) or TFLite (flatbuffer). */
final class ModelFile {
    private ModelFile() {}

    /**
     * The entry's JSON; null where there is none.
     *
     * @throws ModelFileException a file of neither format, or a damaged one.
     */
    static String metadata(byte[] model) {
        try {
            boolean tflite = model.length >= 8
                    && Arrays.equals(Arrays.copyOfRange(model, 4, 8), "TFL3".getBytes(StandardCharsets.US_ASCII));
            return tflite ? new Tflite(model).metadata() : new Onnx(model).metadata();
        } catch (IndexOutOfBoundsException | ArithmeticException | CharacterCodingException error) {
            throw new ModelFileException(
                    "expected an ONNX or TFLite file, got neither, or a damaged one; export or download it again",
                    error);
        }
    }

    private static String text(byte[] bytes, int start, int length) throws CharacterCodingException {
        if (start < 0 || length < 0 || (long) start + length > bytes.length) {
            throw new IndexOutOfBoundsException("text beyond the file");
        }
        return StandardCharsets.UTF_8
                .newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .decode(ByteBuffer.wrap(bytes, start, length))
                .toString();
    }

    /** https://protobuf.dev/programming-guides/encoding: fields, each with its number and its kind. */
    private static final class Onnx {
        private static final int GRAPH = 7;
        private static final int METADATA = 14;
        private static final int KEY = 1;
        private static final int VALUE = 2;

        private final byte[] bytes;
        private int at;

        Onnx(byte[] bytes) {
            this.bytes = bytes;
        }

        String metadata() throws CharacterCodingException {
            String found = null;
            boolean graph = false;
            while (at < bytes.length) {
                long tag = number();
                int end = end((int) (tag & 7), bytes.length);
                graph |= tag >> 3 == GRAPH;
                if (tag == (METADATA << 3 | 2)) {
                    String value = entry(end);
                    found = value == null ? found : value;
                }
                at = end;
            }
            if (!graph) {
                throw new IndexOutOfBoundsException("no graph");
            }
            return found;
        }

        /** The value of an entry with our key, or null. */
        private String entry(int stop) throws CharacterCodingException {
            String key = "";
            String value = "";
            while (at < stop) {
                long tag = number();
                int end = end((int) (tag & 7), stop);
                if (tag == (KEY << 3 | 2)) {
                    key = text(bytes, at, end - at);
                } else if (tag == (VALUE << 3 | 2)) {
                    value = text(bytes, at, end - at);
                }
                at = end;
            }
            return Metadata.KEY.equals(key) ? value : null;
        }

        /** Where a field of this kind ends; moves to where its text or message begins. */
        private int end(int kind, int stop) {
            long end;
            if (kind == 0) {
                number();
                end = at;
            } else if (kind == 2) {
                long length = number();
                end = length < 0 ? Long.MAX_VALUE : at + Math.min(length, Integer.MAX_VALUE);
            } else if (kind == 1 || kind == 5) {
                end = at + (kind == 1 ? 8L : 4L);
            } else {
                throw new IndexOutOfBoundsException("a field of kind " + kind);
            }
            if (end > stop) {
                throw new IndexOutOfBoundsException("a field beyond its message");
            }
            return (int) end;
        }

        private long number() {
            long value = 0;
            for (int shift = 0; shift < 70; shift += 7) {
                byte next = bytes[at++];
                value |= (long) (next & 127) << shift;
                if (next >= 0) {
                    return value;
                }
            }
            throw new IndexOutOfBoundsException("a number that does not end");
        }
    }

    /** https://flatbuffers.dev/internals: tables, whose fields lie where their vtable says. */
    private static final class Tflite {
        private static final int BUFFERS = 4;
        private static final int METADATA = 6;
        private static final int NAME = 0;
        private static final int BUFFER = 1;
        private static final int DATA = 0;

        private final ByteBuffer bytes;

        Tflite(byte[] bytes) {
            this.bytes = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        }

        String metadata() throws CharacterCodingException {
            int root = follow(0);
            int entries = vector(root, METADATA);
            for (int i = 0; entries > 0 && i < bytes.getInt(entries); i++) {
                int entry = follow(element(entries, i));
                if (Metadata.KEY.equals(vectorText(entry, NAME))) {
                    int place = field(entry, BUFFER);
                    int buffers = vector(root, BUFFERS);
                    int index = place > 0 ? bytes.getInt(place) : 0;
                    if (buffers <= 0 || index < 0 || index >= bytes.getInt(buffers)) {
                        throw new IndexOutOfBoundsException("metadata in a buffer that is not there");
                    }
                    return vectorText(follow(element(buffers, index)), DATA);
                }
            }
            return null;
        }

        /** Where an offset leads. */
        private int follow(int place) {
            return Math.addExact(place, unsigned(place));
        }

        private int unsigned(int place) {
            int value = bytes.getInt(place);
            if (value < 0) {
                throw new IndexOutOfBoundsException("an offset beyond the file");
            }
            return value;
        }

        private int element(int vector, int index) {
            return vector + 4 + 4 * index;
        }

        /** Where a field of a table lies; 0 where the table has none. */
        private int field(int table, int number) {
            int vtable = table - bytes.getInt(table);
            int entry = 4 + 2 * number;
            int offset = entry < bytes.getShort(vtable) ? bytes.getShort(vtable + entry) & 0xFFFF : 0;
            return offset == 0 ? 0 : table + offset;
        }

        /** Where a vector begins: its length, then its elements; 0 where the table has none. */
        private int vector(int table, int number) {
            int place = field(table, number);
            return place == 0 ? 0 : follow(place);
        }

        private String vectorText(int table, int number) throws CharacterCodingException {
            int vector = vector(table, number);
            return vector == 0 ? null : text(bytes.array(), vector + 4, unsigned(vector));
        }
    }
}
