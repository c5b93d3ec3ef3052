// Bodies of requests to the data API: text that PostgreSQL cannot keep is refused before it reaches
// Lite, and strings and booleans that are meant as JSON are marked as such.

import type { Lite, RestTarget } from "./lite.ts";

/** The body is not text that PostgreSQL can keep. */
export class UnstorableError extends Error {
  override readonly name = "UnstorableError";
}

/**
 * The body to pass on to Lite: the corrected text of a JSON body, any other body as it came.
 *
 * @throws {UnstorableError} If the text is not UTF-8, or has a NUL or half a surrogate pair.
 */
export async function readRestBody(
  lite: Lite,
  request: Request,
): Promise<string | ReadableStream<Uint8Array> | null> {
  const type = request.headers.get("content-type") ?? "application/json";
  if (!request.body || !/^application\/(?:[\w.+-]*\+)?json\b/i.test(type)) return request.body;
  const text = decode(await request.bytes());
  if (hasBadEscape(text)) throw new UnstorableError();
  return await quoteJsonScalars(lite, request, text);
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UnstorableError();
  }
}

/** Whether JSON text has an escape for NUL, or for half of a surrogate pair. */
function hasBadEscape(json: string): boolean {
  if (!/\\u(?:0000|[dD][89a-fA-F])/.test(json)) return false;
  // Pairs first, then any other escape, so that `\\u0000`, a backslash and text, is none.
  const escapes = json.matchAll(
    /\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\(u(?:0000|[dD][89a-fA-F][\da-fA-F]{2})|[^])/g,
  );
  return [...escapes].some(([, bad]) => bad !== undefined && bad.length > 1);
}

/**
 * Turns each string and boolean that is meant for a JSON column or argument into its JSON text. Lite
 * hands such values to the database as they are, where `"x"` would be the text `x`, no JSON.
 */
async function quoteJsonScalars(lite: Lite, request: Request, text: string): Promise<string> {
  const [, rpc, name] = /^\/rest\/v1\/(rpc\/)?([^/]+)$/.exec(new URL(request.url).pathname) ?? [];
  const body = name && parseJson(text);
  const rows: unknown[] = Array.isArray(body) ? body : [body];
  const objects = rows.filter(isObject);
  if (!name || !objects.some((row) => Object.values(row).some(isScalar))) return text;
  const target: RestTarget = rpc
    ? { function: name, names: Object.keys(objects[0] ?? {}) }
    : { table: name };
  const jsonNames = await lite.jsonNames(target);
  let changed = false;
  for (const row of objects) {
    for (const [key, value] of Object.entries(row)) {
      if (!isScalar(value) || !jsonNames.has(key)) continue;
      const json = JSON.stringify(value);
      // Of a table's values Lite takes one layer of JSON off; of arguments it does not.
      row[key] = rpc ? json : JSON.stringify(json);
      changed = true;
    }
  }
  return changed ? JSON.stringify(body) : text;
}

/** The value of JSON text; Lite answers for text that is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isScalar(value: unknown): value is string | boolean {
  return typeof value === "string" || typeof value === "boolean";
}
