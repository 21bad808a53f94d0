/** How to reach a server of Sutra with @grpc/grpc-js: TLS, a token, the service config, promises. */
import { readFileSync } from "node:fs";
import {
  type CallCredentials,
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientOptions,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";

/** What Sutra sends and takes at most; gRPC's own limit for what arrives is 4 MiB. */
const MAX_MESSAGE_BYTES = 64 << 20;

/** Encrypted if there is the authority's certificate (PEM) to check the server's with. */
export function channelCredentials(ca?: Buffer): ChannelCredentials {
  return ca === undefined ? credentials.createInsecure() : credentials.createSsl(ca);
}

/** Sends the token with every call; gRPC combines it with encrypted channels only. */
export function bearer(token: string): CallCredentials {
  return credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    done(null, metadata);
  });
}

/** Options for a client; the service config (JSON) says which calls are repeated after which errors. */
export function clientOptions(serviceConfigFile?: string): ClientOptions {
  return {
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    ...(serviceConfigFile && { "grpc.service_config": readFileSync(serviceConfigFile, "utf8") }),
  };
}

/** Address, credentials and options of a client, from SUTRA_ADDRESS, SUTRA_TLS_CA, SUTRA_TOKEN and SUTRA_SERVICE_CONFIG. */
export function fromEnvironment(): [string, ChannelCredentials, ClientOptions] {
  const { SUTRA_ADDRESS, SUTRA_TLS_CA, SUTRA_TOKEN, SUTRA_SERVICE_CONFIG } = process.env;
  if (SUTRA_TOKEN && !SUTRA_TLS_CA) throw new Error("SUTRA_TOKEN needs SUTRA_TLS_CA: a token is not sent in clear");
  const channel = channelCredentials(SUTRA_TLS_CA ? readFileSync(SUTRA_TLS_CA) : undefined);
  return [
    SUTRA_ADDRESS ?? "127.0.0.1:7400",
    SUTRA_TOKEN ? credentials.combineChannelCredentials(channel, bearer(SUTRA_TOKEN)) : channel,
    clientOptions(SUTRA_SERVICE_CONFIG),
  ];
}

type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

/** One unary call as a promise, given up after `deadlineMs`. */
export function call<Request, Response>(
  client: Client,
  method: UnaryMethod<Request, Response>,
  request: Request,
  deadlineMs = 30_000,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    method.call(client, request, new Metadata(), { deadline: Date.now() + deadlineMs }, (error, response) =>
      error ? reject(error) : resolve(response),
    );
  });
}
