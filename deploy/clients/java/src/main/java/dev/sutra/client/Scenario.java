package dev.sutra.client;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Message;
import dev.sutra.client.Calls.Outcome;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.MethodDescriptor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Walks deploy/clients/scenario.json; deploy/clients/README.md says how it is read. A line per step, then the count. */
public final class Scenario {
    private static final long AGAIN_MS = 50;

    private final Connections connections;
    private final JsonObject saved = new JsonObject();

    private Scenario(Connections connections) {
        this.connections = connections;
    }

    public static void main(String[] arguments) throws InterruptedException {
        try (Connections connections = new Connections()) {
            List<Step> steps = readSteps(Path.of(arguments.length > 0 ? arguments[0] : "../scenario.json"));
            System.exit(new Scenario(connections).walk(steps) ? 0 : 1);
        } catch (IOException | ScenarioException e) {
            System.err.println("java: " + e.getMessage());
            System.exit(2);
        }
    }

    private static List<Step> readSteps(Path file) throws IOException {
        JsonObject scenario = JsonParser.parseString(Files.readString(file)).getAsJsonObject();
        if (scenario.get("format").getAsInt() != 1) {
            throw new ScenarioException(file + " has format " + scenario.get("format") + ", not 1");
        }
        List<Step> steps = new ArrayList<>();
        scenario.getAsJsonArray("steps").forEach(step -> steps.add(new Step(step.getAsJsonObject())));
        return steps;
    }

    private boolean walk(List<Step> steps) throws IOException, InterruptedException {
        int passed = 0;
        int failed = 0;
        int leftOut = 0;
        for (Step step : steps) {
            if (!connections.has(step.needs())) {
                leftOut++;
                System.out.printf("left out  %s (needs %s)%n", step.name(), step.needs());
                continue;
            }
            try {
                run(step);
                passed++;
                System.out.printf("ok        %s%n", step.name());
            } catch (Mismatch e) {
                failed++;
                System.out.printf("FAILED    %s: %s%n", step.name(), e.getMessage());
            }
        }
        System.out.printf("java: %d passed, %d failed, %d left out%n", passed, failed, leftOut);
        return failed == 0;
    }

    /** Throws Mismatch where the step does not end as it should, also not within the time it may take. */
    private void run(Step step) throws Mismatch, IOException, InterruptedException {
        long until = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(step.withinMs());
        while (true) {
            try {
                attempt(step);
                return;
            } catch (Mismatch e) {
                if (System.nanoTime() >= until) {
                    throw e;
                }
                Thread.sleep(AGAIN_MS);
            }
        }
    }

    private void attempt(Step step) throws Mismatch, IOException {
        MethodDescriptor<Message, Message> method = Calls.findMethod(step.method());
        boolean streamsRequests = !method.getType().clientSendsOneMessage();
        Outcome outcome = streamsRequests ? importItems(method, step) : callEach(method, step);
        Matching.match(expand(step.error()), outcome.error(), "error");
        if (!outcome.error().isJsonNull() && !streamsRequests) {
            return;
        }
        JsonElement answer = streamsRequests ? outcome.answers() : joined(outcome.answers());
        Matching.match(expand(step.expect()), answer, "answer");
        for (Map.Entry<String, JsonElement> one : step.save().entrySet()) {
            saved.add(one.getKey(), Matching.lookUp(answer, one.getValue().getAsString()));
        }
    }

    /** The outcome of the last request, or of the first that fails. */
    private Outcome callEach(MethodDescriptor<Message, Message> method, Step step) throws Mismatch, IOException {
        Channel channel = connections.channel(step.channel(), step.as());
        Outcome outcome = null;
        for (JsonElement request : expand(step.requests()).getAsJsonArray()) {
            outcome = method.getType().serverSendsOneMessage()
                    ? Calls.unary(channel, method, options(step), request, step.cancelAfterMs())
                    : Calls.serverStream(channel, method, options(step), request);
            if (!outcome.error().isJsonNull()) {
                break;
            }
        }
        return outcome;
    }

    private Outcome importItems(MethodDescriptor<Message, Message> method, Step step) throws Mismatch, IOException {
        List<JsonElement> requests =
                withoutFirst(expand(step.requests()).getAsJsonArray(), expand(step.skipItems()).getAsInt());
        Channel channel = connections.channel(step.channel(), step.as());
        return Calls.bidiStream(channel, method, options(step), requests, step.cancelAfter());
    }

    private static CallOptions options(Step step) {
        return CallOptions.DEFAULT.withDeadlineAfter(step.deadlineMs(), TimeUnit.MILLISECONDS);
    }

    /** Requests of an Import without their first @count items. */
    private static List<JsonElement> withoutFirst(JsonArray requests, int count) {
        List<JsonElement> kept = new ArrayList<>();
        int skip = count;
        for (JsonElement request : requests) {
            JsonArray items = request.getAsJsonObject().getAsJsonArray("items");
            int size = items.size();
            for (int i = 0; i < Math.min(skip, size); i++) {
                items.remove(0);
            }
            skip = Math.max(0, skip - size);
            if (!items.isEmpty()) {
                kept.add(request);
            }
        }
        return kept;
    }

    /** Answers of one call as one: lists end to end, of the rest the last. */
    private static JsonObject joined(JsonArray answers) {
        JsonObject whole = new JsonObject();
        for (JsonElement answer : answers) {
            answer.getAsJsonObject().entrySet().forEach(member -> {
                JsonElement before = whole.get(member.getKey());
                if (before != null && before.isJsonArray()) {
                    before.getAsJsonArray().addAll(member.getValue().getAsJsonArray());
                } else {
                    whole.add(member.getKey(), member.getValue());
                }
            });
        }
        return whole;
    }

    private JsonElement expand(JsonElement value) throws Mismatch {
        return Matching.expand(value, saved);
    }
}
