// JSON from outside, read with care: counted while it streams in, measured before it is parsed, and
// its texts checked for what PostgreSQL cannot store.

import { AppError } from "./errors.ts";

/** Deepest nesting that is read, brackets counted from 1. */
export const MAX_JSON_DEPTH = 64;

const encoder = new TextEncoder();
const [QUOTE, BACKSLASH, COMMA, DOT, MINUS, ZERO, NINE] = encoder.encode('"\\,.-09');
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = encoder.encode("[]{}");
const [LOWER_E, UPPER_E, PLUS] = encoder.encode("eE+");

/** What a scan of JSON text finds out without parsing it. */
export interface JsonShape {
  /** Deepest nesting of arrays and objects; 0 for a bare scalar. */
  depth: number;
  /** Upper bound for the number of values: brackets that open, and commas. */
  values: number;
  /** Whether a number is written in a way that a double does not give back, for example `1.10`. */
  has_exact_numbers: boolean;
}

/**
 * Measures JSON text in one pass over its bytes, without recursion. The text may be malformed: then
 * the figures are whatever they are, and parsing fails afterwards.
 */
export function scanJson(bytes: Uint8Array): JsonShape {
  const shape: JsonShape = { depth: 0, values: 0, has_exact_numbers: false };
  let depth = 0;
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE:
        at = endOfString(bytes, at);
        break;
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        depth++;
        shape.values++;
        if (depth > shape.depth) shape.depth = depth;
        break;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        depth--;
        break;
      case COMMA:
        shape.values++;
        break;
      default:
        if (isDigit(bytes[at])) {
          const end = endOfNumber(bytes, at);
          if (!shape.has_exact_numbers) shape.has_exact_numbers = isExact(bytes, at, end);
          at = end - 1;
        }
    }
  }
  return shape;
}

/** Index of the quote that ends the string which begins at `start`. */
function endOfString(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}

function endOfNumber(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length && isNumberByte(bytes[at])) at++;
  return at;
}

/** Whether a double may not give the digits back: trailing zeros, an exponent, over 15 digits. */
function isExact(bytes: Uint8Array, start: number, end: number): boolean {
  let has_dot = false;
  for (let at = start; at < end; at++) {
    if (bytes[at] === LOWER_E || bytes[at] === UPPER_E) return true;
    if (bytes[at] === DOT) has_dot = true;
  }
  return end - start > 15 || (has_dot && bytes[end - 1] === ZERO);
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO! && byte <= NINE!;
}

function isNumberByte(byte: number | undefined): boolean {
  return isDigit(byte) || byte === DOT || byte === MINUS || byte === PLUS || byte === LOWER_E ||
    byte === UPPER_E;
}

/**
 * Reads a body up to a limit, and stops reading when it passes.
 *
 * @throws {AppError} `payload_too_large`.
 */
export async function readBody(request: Request, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = new AppError(
    "payload_too_large",
    `Cannot read the body as its size in bytes must be <= ${maxBytes}`,
  );
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge;
  const chunks: Uint8Array[] = [];
  let size = 0;
  // A declared length is not believed: the bytes are counted as they come.
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge;
    chunks.push(chunk);
  }
  const body = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.length;
  }
  return body;
}

/** JSON that was read, with what is needed to read it again. */
export interface ReadJson {
  value: unknown;
  text: string;
  shape: JsonShape;
}

/**
 * Parses JSON text.
 *
 * @param maxValues Most values that are read; see `JsonShape.values`.
 * @throws {AppError} `invalid_request`: not UTF-8, not JSON, nested too deeply, or too many values.
 */
export function parseJson(bytes: Uint8Array, maxValues: number): ReadJson {
  const shape = scanJson(bytes);
  if (shape.depth > MAX_JSON_DEPTH) {
    throw new AppError(
      "invalid_request",
      `Cannot read the body as its nesting depth must be <= ${MAX_JSON_DEPTH}: ` +
        `current value is ${shape.depth}`,
    );
  }
  if (shape.values > maxValues) {
    throw new AppError(
      "invalid_request",
      `Cannot read the body as its number of values must be <= ${maxValues}: ` +
        `current value is about ${shape.values}`,
    );
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return { value: JSON.parse(text), text, shape };
  } catch (cause) {
    throw new AppError("invalid_request", "Cannot parse the body as JSON in UTF-8", { cause });
  }
}

declare global {
  /** JSON.parse with source text access (ECMAScript 2026), which TypeScript does not know yet. */
  interface JSON {
    rawJSON(text: string): unknown;
    parse(
      text: string,
      reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
    ): unknown;
  }
}

/** Longest number that is kept as written; PostgreSQL refuses numbers of many thousand digits. */
const MAX_NUMBER_LENGTH = 40;

/**
 * Parses JSON text so that `JSON.stringify` writes every number as it came: 1.10 stays 1.10. Such a
 * number is no number in the value, so the value is good for writing only.
 */
export function parseExactly(text: string): unknown {
  return JSON.parse(text, (_key, value, { source }) => {
    if (typeof value !== "number" || source === undefined || String(value) === source) return value;
    // Too large or too small for a double: nothing clinical, and PostgreSQL may refuse it.
    const is_extreme = !Number.isFinite(value) || (value === 0 && /e/i.test(source));
    return is_extreme || source.length > MAX_NUMBER_LENGTH ? value : JSON.rawJSON(source);
  });
}

/** Whether PostgreSQL can store a text: no NUL, and no half of a surrogate pair. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** Steps from the root of a JSON value to a part of it. */
export type JsonPath = (string | number)[];

/** Finds the first key or text that PostgreSQL cannot store; undefined when there is none. */
export function findUnstorable(value: unknown, path: JsonPath = []): JsonPath | undefined {
  if (typeof value === "string") return isStorable(value) ? undefined : path;
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, part] of Object.entries(value)) {
    if (!isStorable(key)) return path;
    const found = findUnstorable(part, [...path, Array.isArray(value) ? Number(key) : key]);
    if (found) return found;
  }
  return undefined;
}
