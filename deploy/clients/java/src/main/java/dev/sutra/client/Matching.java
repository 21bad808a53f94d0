package dev.sutra.client;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.Iterator;
import java.util.Map;
import java.util.Optional;

/** The scenario's expectations, and what in it stands for something else; deploy/clients/README.md describes both. */
final class Matching {
    private static final double RELATIVE_TOLERANCE = 1e-6;
    private static final int SHOWN_LENGTH = 200;

    private Matching() {}

    /** Throws unless @actual has everything that @expected names; what JSON leaves out has its default. */
    static void match(JsonElement expected, JsonElement actual, String where) throws Mismatch {
        if (expected.isJsonObject() && operatorOf(expected.getAsJsonObject()).isPresent()) {
            matchOperator(expected.getAsJsonObject(), actual, where);
        } else if (expected.isJsonObject()) {
            JsonObject fields = isAbsent(actual) ? new JsonObject() : requireObject(expected, actual, where);
            for (Map.Entry<String, JsonElement> member : expected.getAsJsonObject().entrySet()) {
                match(member.getValue(), orNull(fields.get(member.getKey())), where + "." + member.getKey());
            }
        } else if (expected.isJsonArray()) {
            JsonArray wanted = expected.getAsJsonArray();
            JsonArray rows = rowsOf(expected, actual, where);
            require(rows.size() == wanted.size(), expected, actual, where);
            for (int i = 0; i < wanted.size(); i++) {
                match(wanted.get(i), rows.get(i), where + "[" + i + "]");
            }
        } else {
            require(isSameValue(expected, actual), expected, actual, where);
        }
    }

    private static boolean isSameValue(JsonElement expected, JsonElement actual) {
        if (expected.isJsonNull()) {
            return isAbsent(actual);
        }
        JsonPrimitive wanted = expected.getAsJsonPrimitive();
        if (wanted.isNumber()) {
            double number = wanted.getAsDouble();
            return Math.abs(numberOf(actual) - number) <= RELATIVE_TOLERANCE * Math.max(1, Math.abs(number));
        }
        JsonPrimitive absent = wanted.isString() ? new JsonPrimitive("") : new JsonPrimitive(false);
        return wanted.equals(isAbsent(actual) ? absent : actual);
    }

    private static Optional<String> operatorOf(JsonObject expected) {
        return expected.keySet().stream().filter(key -> key.startsWith("$")).findFirst();
    }

    private static void matchOperator(JsonObject expected, JsonElement actual, String where) throws Mismatch {
        String operator = operatorOf(expected).orElseThrow();
        JsonElement operand = expected.get(operator);
        boolean holds = switch (operator) {
            case "$near" ->
                Math.abs(numberOf(actual) - operand.getAsDouble()) <= expected.get("$within").getAsDouble();
            case "$above" -> numberOf(actual) > operand.getAsDouble();
            case "$contains" -> isText(actual) && actual.getAsString().contains(operand.getAsString());
            case "$unordered" -> isSameInAnyOrder(operand.getAsJsonArray(), rowsOf(expected, actual, where));
            default -> throw new ScenarioException("unknown operator " + operator);
        };
        require(holds, expected, actual, where);
    }

    private static boolean isSameInAnyOrder(JsonArray expected, JsonArray actual) {
        JsonArray rest = actual.deepCopy();
        for (JsonElement wanted : expected) {
            if (!removeFirstMatch(wanted, rest)) {
                return false;
            }
        }
        return rest.isEmpty();
    }

    private static boolean removeFirstMatch(JsonElement wanted, JsonArray rest) {
        for (Iterator<JsonElement> rows = rest.iterator(); rows.hasNext(); ) {
            try {
                match(wanted, rows.next(), "");
                rows.remove();
                return true;
            } catch (Mismatch e) {
                // The next one may match.
            }
        }
        return false;
    }

    private static boolean isAbsent(JsonElement value) {
        return value == null || value.isJsonNull();
    }

    private static JsonElement orNull(JsonElement value) {
        return value == null ? JsonNull.INSTANCE : value;
    }

    private static boolean isText(JsonElement value) {
        return value instanceof JsonPrimitive primitive && primitive.isString();
    }

    /** A number, also one of 64 bits, which JSON has as text; what is absent is 0, anything else is NaN. */
    private static double numberOf(JsonElement value) {
        if (isAbsent(value)) {
            return 0;
        }
        boolean isNumber = value instanceof JsonPrimitive primitive
                && (primitive.isNumber() || primitive.isString() && primitive.getAsString().matches("-?\\d+"));
        return isNumber ? value.getAsDouble() : Double.NaN;
    }

    private static JsonObject requireObject(JsonElement expected, JsonElement actual, String where) throws Mismatch {
        require(actual.isJsonObject(), expected, actual, where);
        return actual.getAsJsonObject();
    }

    private static JsonArray rowsOf(JsonElement expected, JsonElement actual, String where) throws Mismatch {
        if (isAbsent(actual)) {
            return new JsonArray();
        }
        require(actual.isJsonArray(), expected, actual, where);
        return actual.getAsJsonArray();
    }

    private static void require(boolean holds, JsonElement expected, JsonElement actual, String where)
            throws Mismatch {
        if (!holds) {
            throw new Mismatch(where + ": expected " + shorten(expected) + ", got " + shorten(actual));
        }
    }

    private static String shorten(JsonElement value) {
        String text = String.valueOf(value);
        return text.length() <= SHOWN_LENGTH ? text : text.substring(0, SHOWN_LENGTH) + "…";
    }

    /** @value with what "$saved", "$repeat" and "$times" stand for. */
    static JsonElement expand(JsonElement value, JsonObject saved) throws Mismatch {
        if (value.isJsonArray()) {
            JsonArray expanded = new JsonArray();
            for (JsonElement one : value.getAsJsonArray()) {
                expanded.add(expand(one, saved));
            }
            return expanded;
        }
        if (!value.isJsonObject()) {
            return value;
        }
        JsonObject object = value.getAsJsonObject();
        if (object.has("$saved")) {
            return lookUp(saved, object.get("$saved").getAsString());
        }
        if (object.has("$repeat")) {
            JsonArray arguments = object.getAsJsonArray("$repeat");
            return new JsonPrimitive(arguments.get(0).getAsString().repeat(arguments.get(1).getAsInt()));
        }
        if (object.has("$times")) {
            JsonArray arguments = object.getAsJsonArray("$times");
            JsonElement one = expand(arguments.get(0), saved);
            JsonArray list = new JsonArray();
            for (int count = arguments.get(1).getAsInt(); count > 0; count--) {
                list.add(one);
            }
            return list;
        }
        JsonObject expanded = new JsonObject();
        for (Map.Entry<String, JsonElement> member : object.entrySet()) {
            expanded.add(member.getKey(), expand(member.getValue(), saved));
        }
        return expanded;
    }

    /** What lies at a path such as "hits.0.score"; a Mismatch where nothing does. */
    static JsonElement lookUp(JsonElement value, String path) throws Mismatch {
        JsonElement at = value;
        for (String part : path.split("\\.")) {
            at = at.isJsonArray() ? at.getAsJsonArray().get(Integer.parseInt(part)) : at.getAsJsonObject().get(part);
            if (at == null) {
                throw new Mismatch("there is no '" + path + "'");
            }
        }
        return at;
    }
}
