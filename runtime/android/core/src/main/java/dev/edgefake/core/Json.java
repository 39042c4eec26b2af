package dev.edgefake.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A strict reader of JSON (RFC 8259): Map, List, String, Long, Double, Boolean, null. Of equal keys the last counts.
 *
 * <p>Not org.json, which the JVM lacks and which lets much pass that is no JSON.
 */
final class Json {
    private static final int MAX_DEPTH = 64;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** @throws ModelFileException no JSON, with the place where it ends to be one. */
    static Object parse(String text) {
        Json reader = new Json(text);
        Object value = reader.value(0);
        reader.space();
        if (reader.at < text.length()) {
            throw reader.damaged("the end");
        }
        return value;
    }

    private ModelFileException damaged(String expected) {
        String got = at < text.length() ? String.format("U+%04X", (int) text.charAt(at)) : "the end";
        return new ModelFileException(
                "expected " + expected + " at character " + at + " of the JSON, got " + got + "; export it again");
    }

    private void space() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private boolean next(char wanted) {
        space();
        if (at < text.length() && text.charAt(at) == wanted) {
            at++;
            return true;
        }
        return false;
    }

    private void need(char wanted) {
        if (!next(wanted)) {
            throw damaged("'" + wanted + "'");
        }
    }

    private Object value(int depth) {
        space();
        if (depth > MAX_DEPTH) {
            throw damaged("at most " + MAX_DEPTH + " levels");
        }
        if (next('{')) {
            return object(depth);
        }
        if (next('[')) {
            return list(depth);
        }
        if (next('"')) {
            return string();
        }
        for (Object[] word : new Object[][] {{"true", true}, {"false", false}, {"null", null}}) {
            if (text.startsWith((String) word[0], at)) {
                at += ((String) word[0]).length();
                return word[1];
            }
        }
        return number();
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> values = new LinkedHashMap<>();
        if (next('}')) {
            return values;
        }
        do {
            need('"');
            String key = string();
            need(':');
            values.put(key, value(depth + 1));
        } while (next(','));
        need('}');
        return values;
    }

    private List<Object> list(int depth) {
        List<Object> values = new ArrayList<>();
        if (next(']')) {
            return values;
        }
        do {
            values.add(value(depth + 1));
        } while (next(','));
        need(']');
        return values;
    }

    private String string() {
        StringBuilder found = new StringBuilder();
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c < ' ') {
                throw damaged("a character of a string");
            }
            at++;
            if (c == '"') {
                return found.toString();
            }
            found.append(c == '\\' ? escape() : c);
        }
        throw damaged("'\"'");
    }

    private char escape() {
        char c = at < text.length() ? text.charAt(at) : 0;
        int plain = "\"\\/bfnrt".indexOf(c);
        if (plain >= 0) {
            at++;
            return "\"\\/\b\f\n\r\t".charAt(plain);
        }
        if (c != 'u' || at + 5 > text.length()) {
            throw damaged("an escape");
        }
        int code = 0;
        for (int i = 1; i <= 4; i++) {
            int digit = Character.digit(text.charAt(at + i), 16);
            if (digit < 0 || text.charAt(at + i) > 'f') {
                throw damaged("an escape of four hex digits");
            }
            code = 16 * code + digit;
        }
        at += 5;
        return (char) code;
    }

    private Number number() {
        int start = at;
        skip("-");
        int digits = at;
        boolean whole = digits() && (text.charAt(digits) != '0' || at == digits + 1);
        boolean integer = true;
        if (whole && skip(".")) {
            integer = false;
            whole = digits();
        }
        if (whole && (skip("e") || skip("E"))) {
            integer = false;
            if (!skip("+")) {
                skip("-");
            }
            whole = digits();
        }
        if (!whole) {
            throw damaged("a value");
        }
        String found = text.substring(start, at);
        if (integer && found.length() < 19) {
            return Long.valueOf(found);
        }
        return Double.valueOf(found);
    }

    private boolean skip(String wanted) {
        if (text.startsWith(wanted, at)) {
            at++;
            return true;
        }
        return false;
    }

    private boolean digits() {
        int start = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        return at > start;
    }
}
