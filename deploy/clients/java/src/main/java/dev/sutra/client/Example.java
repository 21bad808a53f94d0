package dev.sutra.client;

import dev.sutra.v1.ConceptInput;
import dev.sutra.v1.ConceptServiceGrpc;
import dev.sutra.v1.ConceptServiceGrpc.ConceptServiceBlockingStub;
import dev.sutra.v1.Hit;
import dev.sutra.v1.LearnRequest;
import dev.sutra.v1.LearnResponse;
import dev.sutra.v1.Query;
import dev.sutra.v1.SearchRequest;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Learns three texts and asks a question. */
public final class Example {
    private static final List<String> TEXTS = List.of(
            "Tides are caused by the gravity of the moon.",
            "Bread is baked from flour, water, salt and yeast.",
            "A guitar has six strings that are plucked or strummed.");

    private Example() {}

    public static void main(String[] arguments) throws InterruptedException {
        try {
            ManagedChannel channel = Connect.fromEnvironment();
            try {
                learnAndSearch(ConceptServiceGrpc.newBlockingStub(channel));
            } finally {
                channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
            }
        } catch (IOException | StatusRuntimeException e) {
            System.err.println("sutra: " + Connect.withCauses(e.getMessage(), e));
            System.exit(1);
        }
    }

    private static void learnAndSearch(ConceptServiceBlockingStub stub) {
        ConceptServiceBlockingStub concepts = stub.withDeadlineAfter(30, TimeUnit.SECONDS);
        for (String text : TEXTS) {
            LearnResponse learned = concepts.learn(LearnRequest.newBuilder()
                    .setConcept(ConceptInput.newBuilder().setContent(text))
                    .build());
            System.out.printf("%s %s%n", learned.getCreated() ? "learned" : "knew", learned.getId());
        }
        String question = "why does the sea rise and fall";
        System.out.println(question + "?");
        SearchRequest search = SearchRequest.newBuilder()
                .setQuery(Query.newBuilder().setText(question))
                .setK(2)
                .setIncludeConcepts(true)
                .build();
        for (Hit hit : concepts.search(search).getHitsList()) {
            System.out.printf("  %.3f  %s%n", hit.getScore(), hit.getConcept().getContent());
        }
    }
}
