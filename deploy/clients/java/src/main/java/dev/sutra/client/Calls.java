package dev.sutra.client;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import dev.sutra.v1.AdminServiceGrpc;
import dev.sutra.v1.ConceptServiceGrpc;
import dev.sutra.v1.EmbeddingServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.PrototypeMarshaller;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.util.Iterator;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** Calls by the name of the method, through what was generated for it, with messages as JSON. */
final class Calls {
    private static final JsonFormat.TypeRegistry DETAILS = JsonFormat.TypeRegistry.newBuilder()
            .add(BadRequest.getDescriptor())
            .add(ErrorInfo.getDescriptor())
            .build();

    private Calls() {}

    /** How a call ended: what was answered, and the error, null if it was none. */
    record Outcome(JsonArray answers, JsonElement error) {}

    /** @path is such as "sutra.v1.ConceptService/Learn". */
    @SuppressWarnings("unchecked") // every generated message is a Message
    static MethodDescriptor<Message, Message> findMethod(String path) {
        return (MethodDescriptor<Message, Message>) Stream.of(
                        AdminServiceGrpc.getServiceDescriptor(),
                        ConceptServiceGrpc.getServiceDescriptor(),
                        EmbeddingServiceGrpc.getServiceDescriptor())
                .flatMap(service -> service.getMethods().stream())
                .filter(method -> method.getFullMethodName().equals(path))
                .findFirst()
                .orElseThrow(() -> new ScenarioException("unknown method '" + path + "'"));
    }

    /** Cancelled when @cancelAfterMs have passed, if given. */
    static Outcome unary(
            Channel channel,
            MethodDescriptor<Message, Message> method,
            CallOptions options,
            JsonElement request,
            Optional<Integer> cancelAfterMs) {
        Message message = toMessage(method, request);
        JsonArray answers = new JsonArray();
        ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
        try (Context.CancellableContext context = Context.current().withCancellation()) {
            cancelAfterMs.ifPresent(ms -> timer.schedule(() -> context.cancel(null), ms, TimeUnit.MILLISECONDS));
            context.run(() -> answers.add(toJson(ClientCalls.blockingUnaryCall(channel, method, options, message))));
            return new Outcome(answers, JsonNull.INSTANCE);
        } catch (StatusRuntimeException e) {
            return new Outcome(answers, errorToJson(e));
        } finally {
            timer.shutdownNow();
        }
    }

    static Outcome serverStream(
            Channel channel, MethodDescriptor<Message, Message> method, CallOptions options, JsonElement request) {
        JsonArray answers = new JsonArray();
        try {
            Iterator<Message> responses =
                    ClientCalls.blockingServerStreamingCall(channel, method, options, toMessage(method, request));
            responses.forEachRemaining(response -> answers.add(toJson(response)));
            return new Outcome(answers, JsonNull.INSTANCE);
        } catch (StatusRuntimeException e) {
            return new Outcome(answers, errorToJson(e));
        }
    }

    /** With @cancelAfter only so many requests are sent, and the call is cancelled after as many answers. */
    static Outcome bidiStream(
            Channel channel,
            MethodDescriptor<Message, Message> method,
            CallOptions options,
            List<JsonElement> requests,
            Optional<Integer> cancelAfter) {
        ClientCall<Message, Message> call = channel.newCall(method, options);
        Gatherer gatherer = new Gatherer(call, cancelAfter);
        StreamObserver<Message> sender = ClientCalls.asyncBidiStreamingCall(call, gatherer);
        requests.stream()
                .limit(cancelAfter.orElse(requests.size()))
                .forEach(request -> sender.onNext(toMessage(method, request)));
        if (cancelAfter.isEmpty()) {
            sender.onCompleted();
        }
        return gatherer.outcome.join();
    }

    /** Gathers what a stream answers until it ends. */
    private static final class Gatherer implements StreamObserver<Message> {
        private final CompletableFuture<Outcome> outcome = new CompletableFuture<>();
        private final JsonArray answers = new JsonArray();
        private final ClientCall<?, ?> call;
        private final Optional<Integer> cancelAfter;

        Gatherer(ClientCall<?, ?> call, Optional<Integer> cancelAfter) {
            this.call = call;
            this.cancelAfter = cancelAfter;
        }

        @Override
        public void onNext(Message response) {
            answers.add(toJson(response));
            if (cancelAfter.equals(Optional.of(answers.size()))) {
                call.cancel("enough answers", null);
            }
        }

        @Override
        public void onError(Throwable error) {
            outcome.complete(new Outcome(answers, errorToJson(error)));
        }

        @Override
        public void onCompleted() {
            outcome.complete(new Outcome(answers, JsonNull.INSTANCE));
        }
    }

    private static Message toMessage(MethodDescriptor<Message, Message> method, JsonElement json) {
        Message.Builder builder = ((PrototypeMarshaller<Message>) method.getRequestMarshaller())
                .getMessagePrototype()
                .newBuilderForType();
        try {
            JsonFormat.parser().merge(json.toString(), builder);
        } catch (InvalidProtocolBufferException e) {
            throw new ScenarioException("request of " + method.getFullMethodName() + ": " + e.getMessage());
        }
        return builder.build();
    }

    private static JsonElement toJson(Message message) {
        try {
            return JsonParser.parseString(
                    JsonFormat.printer().usingTypeRegistry(DETAILS).print(message));
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalStateException("an answer with details of an unknown kind", e);
        }
    }

    /** Code, message, and what grpc-status-details-bin carries: fieldViolations of BadRequest, reason … of ErrorInfo. */
    private static JsonObject errorToJson(Throwable error) {
        Status status = Status.fromThrowable(error);
        JsonObject json = new JsonObject();
        json.addProperty("code", status.getCode().name());
        String description = Objects.requireNonNullElse(status.getDescription(), "");
        json.addProperty("message", Connect.withCauses(description, error));
        com.google.rpc.Status details = StatusProto.fromThrowable(error);
        if (details != null) {
            for (Any detail : details.getDetailsList()) {
                toJson(detail).getAsJsonObject().entrySet().forEach(one -> json.add(one.getKey(), one.getValue()));
            }
        }
        return json;
    }
}
