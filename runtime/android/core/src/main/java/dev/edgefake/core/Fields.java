package dev.edgefake.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** A JSON object whose fields are asked for by name and type; what is missing or of another type is refused. */
final class Fields {
    private final Map<?, ?> values;
    private final String path;

    private Fields(Map<?, ?> values, String path) {
        this.values = values;
        this.path = path;
    }

    /** @throws ModelFileException no JSON, or no object. */
    static Fields parse(String text) {
        return of(Json.parse(text), "");
    }

    private static Fields of(Object value, String path) {
        if (!(value instanceof Map)) {
            throw new ModelFileException((path.isEmpty() ? "" : path + ": ") + "expected an object, got "
                    + shown(value) + "; export it again");
        }
        return new Fields((Map<?, ?>) value, path);
    }

    /** What a value is, on one line and short. */
    private static String shown(Object value) {
        String text = String.valueOf(value).replaceAll("\\p{Cntrl}", "?");
        return text.length() > 60 ? text.substring(0, 60) : text;
    }

    private String place(String name) {
        return path.isEmpty() ? name : path + "." + name;
    }

    ModelFileException refusal(String name, String expected) {
        String got = values.containsKey(name) ? shown(values.get(name)) : "nothing";
        return new ModelFileException(
                place(name) + ": expected " + expected + ", got " + got + "; export it again");
    }

    /** Whether there is such a field, and it is not null. */
    boolean has(String name) {
        return values.get(name) != null;
    }

    /** The values underneath, for comparing. */
    Map<?, ?> values() {
        return values;
    }

    String string(String name) {
        Object value = values.get(name);
        if (!(value instanceof String)) {
            throw refusal(name, "text");
        }
        return (String) value;
    }

    double number(String name) {
        return number(values.get(name), name);
    }

    private double number(Object value, String name) {
        double number = value instanceof Number ? ((Number) value).doubleValue() : Double.NaN;
        if (Double.isNaN(number) || Double.isInfinite(number)) {
            throw refusal(name, "a finite number");
        }
        return number;
    }

    int integer(String name) {
        Object value = values.get(name);
        if (!(value instanceof Long) || (Long) value != ((Long) value).intValue()) {
            throw refusal(name, "a whole number");
        }
        return ((Long) value).intValue();
    }

    boolean flag(String name) {
        Object value = values.get(name);
        if (!(value instanceof Boolean)) {
            throw refusal(name, "true or false");
        }
        return (Boolean) value;
    }

    Fields object(String name) {
        return of(values.get(name), place(name));
    }

    List<Fields> objects(String name) {
        List<Fields> found = new ArrayList<>();
        for (Object value : list(name)) {
            found.add(of(value, place(name) + "[" + found.size() + "]"));
        }
        return found;
    }

    double[] numbers(String name) {
        List<?> list = list(name);
        double[] found = new double[list.size()];
        for (int i = 0; i < found.length; i++) {
            found[i] = number(list.get(i), name);
        }
        return found;
    }

    List<?> list(String name) {
        Object value = values.get(name);
        if (!(value instanceof List)) {
            throw refusal(name, "an array");
        }
        return (List<?>) value;
    }

    Layout layout(String name) {
        for (Layout layout : Layout.values()) {
            if (layout.name().equals(values.get(name))) {
                return layout;
            }
        }
        throw refusal(name, "one of " + Arrays.toString(Layout.values()));
    }

    /** Refuses another text than this. */
    void require(String name, String wanted) {
        if (!wanted.equals(values.get(name))) {
            throw refusal(name, wanted);
        }
    }

    /** Refuses another number than this. */
    void require(String name, double wanted) {
        if (number(name) != wanted) {
            throw refusal(name, String.valueOf(wanted));
        }
    }
}
