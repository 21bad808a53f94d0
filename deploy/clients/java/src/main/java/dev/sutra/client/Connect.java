package dev.sutra.client;

import com.google.gson.Gson;
import io.grpc.CallCredentials;
import io.grpc.ChannelCredentials;
import io.grpc.CompositeChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.Executor;

/** How to reach a server of Sutra: TLS, a token, the service config. */
public final class Connect {
    /** What Sutra sends at most; gRPC's own limit is 4 MiB. */
    private static final int MAX_MESSAGE_BYTES = 64 << 20;

    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private Connect() {}

    /** A channel after SUTRA_ADDRESS, SUTRA_TLS_CA, SUTRA_TOKEN and SUTRA_SERVICE_CONFIG. */
    public static ManagedChannel fromEnvironment() throws IOException {
        String ca = environment("SUTRA_TLS_CA", "");
        String token = environment("SUTRA_TOKEN", "");
        if (!token.isEmpty() && ca.isEmpty()) {
            throw new IOException("SUTRA_TOKEN needs SUTRA_TLS_CA: a token is not sent in clear");
        }
        ChannelCredentials credentials = credentials(ca);
        if (!token.isEmpty()) {
            credentials = CompositeChannelCredentials.create(credentials, new Bearer(token));
        }
        return channel(environment("SUTRA_ADDRESS", "127.0.0.1:7400"), credentials);
    }

    /** Encrypted if there is the file of an authority's certificate (PEM) to check the server's with. */
    static ChannelCredentials credentials(String ca) throws IOException {
        return ca.isEmpty()
                ? InsecureChannelCredentials.create()
                : TlsChannelCredentials.newBuilder().trustManager(new File(ca)).build();
    }

    /** The service config (JSON) says which calls are repeated after which errors. */
    static ManagedChannel channel(String address, ChannelCredentials credentials) throws IOException {
        ManagedChannelBuilder<?> builder =
                Grpc.newChannelBuilder(address, credentials).maxInboundMessageSize(MAX_MESSAGE_BYTES);
        String serviceConfig = environment("SUTRA_SERVICE_CONFIG", "");
        if (!serviceConfig.isEmpty()) {
            String json = Files.readString(Path.of(serviceConfig));
            @SuppressWarnings("unchecked") // an object of JSON
            Map<String, ?> config = new Gson().fromJson(json, Map.class);
            builder.defaultServiceConfig(config);
        }
        return builder.build();
    }

    static Metadata authorization(String token) {
        Metadata metadata = new Metadata();
        metadata.put(AUTHORIZATION, "Bearer " + token);
        return metadata;
    }

    /** @message and what caused @error, which tells why a connection failed. */
    static String withCauses(String message, Throwable error) {
        StringBuilder text = new StringBuilder(message);
        for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
            if (cause.getMessage() != null && text.indexOf(cause.getMessage()) < 0) {
                text.append(": ").append(cause.getMessage());
            }
        }
        return text.toString();
    }

    static String environment(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }

    /** Sends the token with every call. */
    private static final class Bearer extends CallCredentials {
        private final String token;

        Bearer(String token) {
            this.token = token;
        }

        @Override
        public void applyRequestMetadata(RequestInfo request, Executor executor, MetadataApplier applier) {
            applier.apply(authorization(token));
        }
    }
}
