/** Calls by the name of the method, through what was generated for it, with messages as JSON. */
import {
  type CallOptions,
  type Client,
  type Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { BadRequest, ErrorInfo } from "./gen/google/rpc/error_details.js";
import { Status } from "./gen/google/rpc/status.js";
import * as admin from "./gen/sutra/v1/admin_service.js";
import * as concept from "./gen/sutra/v1/concept_service.js";
import * as embedding from "./gen/sutra/v1/embedding_service.js";
import { isObject, type Json, type JsonObject, ScenarioError } from "./matching.js";

/** What a generated module has for each message. */
interface MessageType {
  decode(bytes: Uint8Array): unknown;
  fromJSON(json: unknown): unknown;
  toJSON(message: unknown): unknown;
}

export interface Method extends MethodDefinition<unknown, unknown> {
  requestType: MessageType;
  responseType: MessageType;
}

const SERVICES: Record<string, ServiceDefinition> = {
  "sutra.v1.AdminService": admin.AdminServiceService,
  "sutra.v1.ConceptService": concept.ConceptServiceService,
  "sutra.v1.EmbeddingService": embedding.EmbeddingServiceService,
};
const MESSAGES = { ...admin, ...concept, ...embedding } as unknown as Record<string, MessageType | undefined>;
const DETAILS: Record<string, MessageType | undefined> = {
  "type.googleapis.com/google.rpc.BadRequest": BadRequest as MessageType,
  "type.googleapis.com/google.rpc.ErrorInfo": ErrorInfo as MessageType,
};

/** @path is such as "sutra.v1.ConceptService/Learn". */
export function findMethod(path: string): Method {
  const [service = "", verb] = path.split("/");
  const definition = Object.values(SERVICES[service] ?? {}).find((one) => one.path === `/${path}`);
  const [requestType, responseType] = [MESSAGES[`${verb}Request`], MESSAGES[`${verb}Response`]];
  if (!definition || !requestType || !responseType) throw new ScenarioError(`unknown method '${path}'`);
  return { ...definition, requestType, responseType };
}

function decodeDetail(typeUrl: string, bytes: Uint8Array): JsonObject {
  const type = DETAILS[typeUrl];
  return type === undefined ? {} : (type.toJSON(type.decode(bytes)) as JsonObject);
}

/** An Any is in protobuf's JSON the message that it carries; ts-proto leaves it as bytes. */
function withDetails(value: Json): Json {
  if (Array.isArray(value)) return value.map(withDetails);
  if (!isObject(value)) return value;
  if (typeof value.typeUrl === "string") {
    const bytes = Buffer.from(String(value.value ?? ""), "base64");
    return { "@type": value.typeUrl, ...decodeDetail(value.typeUrl, bytes) };
  }
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withDetails(one ?? null)]));
}

/** Code, message, and what grpc-status-details-bin carries: fieldViolations of BadRequest, reason … of ErrorInfo. */
function errorToJson(error: ServiceError): JsonObject {
  const [raw] = error.metadata.get("grpc-status-details-bin");
  const { details } = Buffer.isBuffer(raw) ? Status.decode(raw) : Status.create();
  return Object.assign(
    { code: status[error.code], message: error.details },
    ...details.map(({ typeUrl, value }) => decodeDetail(typeUrl, value)),
  );
}

/** How a call ended: what was answered, and the error, if it was one. */
export interface Outcome {
  answers: Json[];
  error: JsonObject | null;
}

export interface CallSettings {
  metadata: Metadata;
  options: CallOptions;
  /** Of a unary call: cancel when so much time has passed. */
  cancelAfterMs?: number;
  /** Of a stream of requests: send so many, do not end it, and cancel when there are as many answers. */
  cancelAfter?: number;
}

export function callUnary(client: Client, method: Method, request: Json, settings: CallSettings): Promise<Outcome> {
  const { path, requestSerialize, responseDeserialize, requestType, responseType } = method;
  const message = requestType.fromJSON(request);
  return new Promise((resolve) => {
    const call = client.makeUnaryRequest(
      path, requestSerialize, responseDeserialize, message, settings.metadata, settings.options,
      (error, response) => {
        clearTimeout(timer);
        if (error) resolve({ answers: [], error: errorToJson(error) });
        else resolve({ answers: [withDetails(responseType.toJSON(response) as Json)], error: null });
      },
    );
    const timer = settings.cancelAfterMs && setTimeout(() => call.cancel(), settings.cancelAfterMs);
  });
}

export async function callServerStream(
  client: Client, method: Method, request: Json, { metadata, options }: CallSettings,
): Promise<Outcome> {
  const { path, requestSerialize, responseDeserialize, requestType } = method;
  const message = requestType.fromJSON(request);
  return gather(
    client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, message, metadata, options),
    method,
  );
}

export async function callBidiStream(
  client: Client, method: Method, requests: Json[], { metadata, options, cancelAfter }: CallSettings,
): Promise<Outcome> {
  const { path, requestSerialize, responseDeserialize, requestType } = method;
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, options);
  for (const request of requests.slice(0, cancelAfter)) stream.write(requestType.fromJSON(request));
  if (cancelAfter === undefined) stream.end();
  return gather(stream, method, cancelAfter);
}

/** All that @stream answers, until it ends. */
async function gather(
  stream: AsyncIterable<unknown> & { cancel(): void }, method: Method, cancelAfter?: number,
): Promise<Outcome> {
  const answers: Json[] = [];
  try {
    for await (const response of stream) {
      answers.push(withDetails(method.responseType.toJSON(response) as Json));
      if (answers.length === cancelAfter) stream.cancel();
    }
    return { answers, error: null };
  } catch (error) {
    return { answers, error: errorToJson(error as ServiceError) };
  }
}
