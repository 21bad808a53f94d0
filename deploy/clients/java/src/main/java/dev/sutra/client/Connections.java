package dev.sutra.client;

import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptors;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** One channel for each way to connect, made when it is first asked for. */
final class Connections implements AutoCloseable {
    private final String address = Connect.environment("SUTRA_ADDRESS", "127.0.0.1:7400");
    private final String ca = Connect.environment("SUTRA_TLS_CA", "");
    private final String tokens = Connect.environment("SUTRA_TOKEN_FOLDER", "");
    private final Map<String, ManagedChannel> channels = new HashMap<>();

    boolean has(String need) {
        return switch (need) {
            case "" -> true;
            case "tls" -> !ca.isEmpty();
            case "tokens" -> !tokens.isEmpty();
            default -> throw new ScenarioException("unknown need '" + need + "'");
        };
    }

    Channel channel(String kind, String who) throws IOException {
        ManagedChannel channel = channels.get(kind);
        if (channel == null) {
            channel = Connect.channel(address, credentials(kind));
            channels.put(kind, channel);
        }
        if (tokens.isEmpty() || who.equals("nobody")) {
            return channel;
        }
        String token = who.equals("stranger")
                ? "no-such-token"
                : Files.readString(Path.of(tokens, who)).strip();
        return ClientInterceptors.intercept(
                channel, MetadataUtils.newAttachHeadersInterceptor(Connect.authorization(token)));
    }

    private ChannelCredentials credentials(String kind) throws IOException {
        return switch (kind) {
            case "trusting" -> Connect.credentials(ca);
            case "untrusting" -> TlsChannelCredentials.create();
            case "plaintext" -> InsecureChannelCredentials.create();
            default -> throw new ScenarioException("unknown channel '" + kind + "'");
        };
    }

    @Override
    public void close() {
        channels.values().forEach(ManagedChannel::shutdownNow);
    }
}
