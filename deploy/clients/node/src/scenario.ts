/** Walks deploy/clients/scenario.json; deploy/clients/README.md says how it is read. One line per step, then the count. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ChannelCredentials, Client, credentials, Metadata } from "@grpc/grpc-js";
import { callBidiStream, callServerStream, callUnary, findMethod, type Method, type Outcome } from "./calls.js";
import { channelCredentials, clientOptions } from "./connect.js";
import { expand, type Json, type JsonObject, lookUp, match, Mismatch, ScenarioError } from "./matching.js";

const DEADLINE_MS = 30_000;
const AGAIN_MS = 50;

interface Step {
  name: string;
  method: string;
  request?: Json;
  requests?: Json[];
  expect?: Json;
  error?: Json;
  save?: Record<string, string>;
  as?: string;
  channel?: string;
  needs?: string;
  deadline_ms?: number;
  cancel_after_ms?: number;
  cancel_after?: number;
  within_ms?: number;
  skip_items?: Json;
}

const KEYS = new Set<string>([
  "name", "method", "request", "requests", "expect", "error", "save", "as", "channel", "needs",
  "deadline_ms", "cancel_after_ms", "cancel_after", "within_ms", "skip_items",
] satisfies (keyof Step)[]);

/** One client for each way to connect, made when it is first asked for. */
class Connections {
  private readonly clients = new Map<string, Client>();

  constructor(
    private readonly address: string,
    private readonly ca: Buffer | undefined,
    private readonly tokens: string | undefined,
  ) {}

  has(need: string | undefined): boolean {
    if (need === undefined) return true;
    if (need === "tls") return this.ca !== undefined;
    if (need === "tokens") return this.tokens !== undefined;
    throw new ScenarioError(`unknown need '${need}'`);
  }

  client(kind: string): Client {
    let client = this.clients.get(kind);
    if (client === undefined) {
      client = new Client(this.address, this.credentials(kind), clientOptions(process.env.SUTRA_SERVICE_CONFIG));
      this.clients.set(kind, client);
    }
    return client;
  }

  private credentials(kind: string): ChannelCredentials {
    switch (kind) {
      case "trusting":
        return channelCredentials(this.ca);
      case "untrusting":
        return credentials.createSsl();
      case "plaintext":
        return credentials.createInsecure();
      default:
        throw new ScenarioError(`unknown channel '${kind}'`);
    }
  }

  metadata(who: string): Metadata {
    const metadata = new Metadata();
    if (this.tokens !== undefined && who !== "nobody") {
      const token = who === "stranger" ? "no-such-token" : readFileSync(join(this.tokens, who), "utf8").trim();
      metadata.set("authorization", `Bearer ${token}`);
    }
    return metadata;
  }

  close(): void {
    for (const client of this.clients.values()) client.close();
  }
}

/** @requests of an Import without their first @count items. */
function withoutFirst(requests: Json[], count: number): Json[] {
  return requests.flatMap((request) => {
    const { items, ...rest } = request as JsonObject & { items: Json[] };
    const kept = items.slice(count);
    count = Math.max(0, count - items.length);
    return kept.length > 0 ? [{ ...rest, items: kept }] : [];
  });
}

/** Answers of one stream as one: lists end to end, of the rest the last. */
function joined(answers: Json[]): Json {
  const whole: JsonObject = {};
  for (const answer of answers) {
    for (const [key, value] of Object.entries(answer as JsonObject)) {
      const before = whole[key];
      whole[key] = Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value;
    }
  }
  return whole;
}

class Scenario {
  private readonly saved: JsonObject = {};

  constructor(private readonly connections: Connections) {}

  /** Throws Mismatch where the step does not end as it should, also not within the time it may take. */
  async run(step: Step): Promise<void> {
    const until = Date.now() + (step.within_ms ?? 0);
    for (;;) {
      try {
        return await this.attempt(step);
      } catch (error) {
        if (!(error instanceof Mismatch) || Date.now() >= until) throw error;
        await sleep(AGAIN_MS);
      }
    }
  }

  private async attempt(step: Step): Promise<void> {
    const method = findMethod(step.method);
    const { answers, error } = await this.call(method, step);
    match(this.expand(step.error ?? null), error, "error");
    if (error !== null && !method.requestStream) return;
    const answer = method.requestStream ? answers : joined(answers);
    match(this.expand(step.expect ?? {}), answer);
    for (const [name, path] of Object.entries(step.save ?? {})) this.saved[name] = lookUp(answer, path);
  }

  private async call(method: Method, step: Step): Promise<Outcome> {
    const client = this.connections.client(step.channel ?? "trusting");
    const settings = () => ({
      metadata: this.connections.metadata(step.as ?? "writer"),
      options: { deadline: Date.now() + (step.deadline_ms ?? DEADLINE_MS) },
      cancelAfterMs: step.cancel_after_ms,
      cancelAfter: step.cancel_after,
    });
    const requests = (step.requests ?? [step.request ?? {}]).map((request) => this.expand(request));
    if (method.requestStream) {
      const skipped = Number(this.expand(step.skip_items ?? 0));
      return callBidiStream(client, method, withoutFirst(requests, skipped), settings());
    }
    let outcome: Outcome = { answers: [], error: null };
    for (const request of requests) {
      outcome = await (method.responseStream ? callServerStream : callUnary)(client, method, request, settings());
      if (outcome.error !== null) break;
    }
    return outcome;
  }

  private expand(value: Json): Json {
    return expand(value, this.saved);
  }
}

function readScenario(file: string): Step[] {
  const scenario = JSON.parse(readFileSync(file, "utf8")) as { format: number; steps: Step[] };
  if (scenario.format !== 1) throw new ScenarioError(`${file} has format ${scenario.format}, not 1`);
  for (const step of scenario.steps) {
    const unknown = Object.keys(step).find((key) => !KEYS.has(key));
    if (unknown !== undefined) throw new ScenarioError(`unknown key '${unknown}' of step '${step.name}'`);
  }
  return scenario.steps;
}

async function main(file: string): Promise<number> {
  const { SUTRA_ADDRESS, SUTRA_TLS_CA, SUTRA_TOKEN_FOLDER } = process.env;
  const connections = new Connections(
    SUTRA_ADDRESS ?? "127.0.0.1:7400",
    SUTRA_TLS_CA ? readFileSync(SUTRA_TLS_CA) : undefined,
    SUTRA_TOKEN_FOLDER || undefined,
  );
  const scenario = new Scenario(connections);
  const count = { passed: 0, failed: 0, leftOut: 0 };
  for (const step of readScenario(file)) {
    if (!connections.has(step.needs)) {
      count.leftOut++;
      console.log(`left out  ${step.name} (needs ${step.needs})`);
      continue;
    }
    try {
      await scenario.run(step);
      count.passed++;
      console.log(`ok        ${step.name}`);
    } catch (error) {
      if (!(error instanceof Mismatch)) throw error;
      count.failed++;
      console.log(`FAILED    ${step.name}: ${error.message}`);
    }
  }
  connections.close();
  console.log(`node: ${count.passed} passed, ${count.failed} failed, ${count.leftOut} left out`);
  return count.failed === 0 ? 0 : 1;
}

main(process.argv[2] ?? "../scenario.json").then(
  (code) => (process.exitCode = code),
  (error: Error) => {
    console.error(`node: ${error.message}`);
    process.exit(2);
  },
);
