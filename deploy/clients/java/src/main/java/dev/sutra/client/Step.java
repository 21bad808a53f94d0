package dev.sutra.client;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** One step of the scenario. */
record Step(JsonObject members) {
    private static final Set<String> KEYS = Set.of(
            "name", "method", "request", "requests", "expect", "error", "save", "as", "channel", "needs",
            "deadline_ms", "cancel_after_ms", "cancel_after", "within_ms", "skip_items");

    Step {
        for (String key : members.keySet()) {
            if (!KEYS.contains(key)) {
                throw new ScenarioException("unknown key '" + key + "' of step " + members.get("name"));
            }
        }
    }

    private JsonElement get(String key, JsonElement otherwise) {
        return members.has(key) ? members.get(key) : otherwise;
    }

    private String text(String key, String otherwise) {
        return get(key, new JsonPrimitive(otherwise)).getAsString();
    }

    private Optional<Integer> number(String key) {
        return Optional.ofNullable(members.get(key)).map(JsonElement::getAsInt);
    }

    String name() {
        return text("name", "");
    }

    String method() {
        return text("method", "");
    }

    /** One request, or several. */
    JsonArray requests() {
        if (members.has("requests")) {
            return members.getAsJsonArray("requests");
        }
        JsonArray requests = new JsonArray();
        requests.add(get("request", new JsonObject()));
        return requests;
    }

    JsonElement expect() {
        return get("expect", new JsonObject());
    }

    JsonElement error() {
        return get("error", JsonNull.INSTANCE);
    }

    Map<String, JsonElement> save() {
        return get("save", new JsonObject()).getAsJsonObject().asMap();
    }

    String as() {
        return text("as", "writer");
    }

    String channel() {
        return text("channel", "trusting");
    }

    String needs() {
        return text("needs", "");
    }

    int deadlineMs() {
        return number("deadline_ms").orElse(30_000);
    }

    int withinMs() {
        return number("within_ms").orElse(0);
    }

    Optional<Integer> cancelAfterMs() {
        return number("cancel_after_ms");
    }

    Optional<Integer> cancelAfter() {
        return number("cancel_after");
    }

    JsonElement skipItems() {
        return get("skip_items", new JsonPrimitive(0));
    }
}
