/** The scenario's expectations, and what in it stands for something else; deploy/clients/README.md describes both. */

export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json | undefined };

/** What was expected is not what came. */
export class Mismatch extends Error {}

/** The scenario itself makes no sense. */
export class ScenarioError extends Error {}

const RELATIVE_TOLERANCE = 1e-6;

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shorten(value: Json | undefined): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}

/** A number, also one of 64 bits, which JSON has as text; what is absent is 0. */
function asNumber(value: Json | undefined): number {
  if (typeof value === "string" && !/^-?\d+$/.test(value)) return NaN;
  return typeof value === "boolean" || typeof value === "object" && value !== null ? NaN : Number(value ?? 0);
}

type Operator = (expected: JsonObject, actual: Json | undefined) => boolean;

const OPERATORS: Record<string, Operator> = {
  $near: (expected, actual) => Math.abs(asNumber(actual) - asNumber(expected.$near)) <= asNumber(expected.$within),
  $above: (expected, actual) => asNumber(actual) > asNumber(expected.$above),
  $contains: (expected, actual) => typeof actual === "string" && actual.includes(String(expected.$contains)),
  $unordered: (expected, actual) => sameInAnyOrder(expected.$unordered as Json[], (actual ?? []) as Json[]),
};

function sameInAnyOrder(expected: Json[], actual: Json[]): boolean {
  const rest = [...actual];
  return (
    expected.length === actual.length &&
    expected.every((wanted) => {
      const found = rest.findIndex((one) => matches(wanted, one));
      if (found >= 0) rest.splice(found, 1);
      return found >= 0;
    })
  );
}

function matches(expected: Json, actual: Json | undefined): boolean {
  try {
    match(expected, actual);
    return true;
  } catch (error) {
    if (error instanceof Mismatch) return false;
    throw error;
  }
}

/** Throws Mismatch unless @actual has everything that @expected names; what JSON leaves out has its default. */
export function match(expected: Json, actual: Json | undefined, where = "answer"): void {
  const require = (holds: boolean): void => {
    if (!holds) throw new Mismatch(`${where}: expected ${shorten(expected)}, got ${shorten(actual)}`);
  };

  if (Array.isArray(expected)) {
    const rows = actual ?? [];
    require(Array.isArray(rows) && rows.length === expected.length);
    expected.forEach((one, i) => match(one, (rows as Json[])[i], `${where}[${i}]`));
  } else if (isObject(expected)) {
    const operator = Object.keys(expected).find((key) => key.startsWith("$"));
    if (operator !== undefined) {
      const holds = OPERATORS[operator];
      if (holds === undefined) throw new ScenarioError(`unknown operator ${operator}`);
      require(holds(expected, actual));
      return;
    }
    const fields = actual ?? {};
    require(isObject(fields));
    for (const [key, value] of Object.entries(expected)) {
      match(value ?? null, (fields as JsonObject)[key], `${where}.${key}`);
    }
  } else if (typeof expected === "number") {
    require(Math.abs(asNumber(actual) - expected) <= RELATIVE_TOLERANCE * Math.max(1, Math.abs(expected)));
  } else {
    const absent = { string: "", boolean: false, object: null }[typeof expected as "string" | "boolean" | "object"];
    require((actual ?? absent) === expected);
  }
}

/** @value with what "$saved", "$repeat" and "$times" stand for. */
export function expand(value: Json, saved: JsonObject): Json {
  if (Array.isArray(value)) return value.map((one) => expand(one, saved));
  if (!isObject(value)) return value;
  if (value.$saved !== undefined) return lookUp(saved, String(value.$saved));
  if (value.$repeat !== undefined) {
    const [text, count] = value.$repeat as [string, number];
    return text.repeat(count);
  }
  if (value.$times !== undefined) {
    const [one, count] = value.$times as [Json, number];
    return Array<Json>(count).fill(expand(one, saved));
  }
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, expand(one ?? null, saved)]));
}

/** What lies at a path such as "hits.0.score"; a Mismatch where nothing does. */
export function lookUp(value: Json, path: string): Json {
  return path.split(".").reduce<Json>((at, part) => {
    const next = (at as JsonObject | null)?.[part];
    if (next === undefined) throw new Mismatch(`there is no '${path}'`);
    return next;
  }, value);
}
