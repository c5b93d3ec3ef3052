// Bodies of requests to Auth: JSON, read once and checked against a schema at the edge.

import { z } from "zod";
import { AuthError, invalid } from "./errors.ts";
import type { Metadata } from "./users.ts";

/** A text that may be left out; clients send null for what they do not set. */
export const text = z.string().nullish();

/** An object of free content. */
export const metadata = z.custom<Metadata>(isObject, "must be an object").nullish();

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Fields that any client may add to a request that leads to a code by mail. */
export const pkceFields = { code_challenge: text, code_challenge_method: text };

/**
 * Parses the body of `request`.
 *
 * @throws {AuthError} `bad_json` if it is no JSON, does not fit `schema`, or holds text that
 *   PostgreSQL cannot store.
 */
export async function readBody<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
  const value = parseJson(await request.text());
  if (!isStorable(value)) throw badJson("text holds a NUL character or half a surrogate pair");
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw badJson(`${issue?.path.join(".") || "body"}: ${issue?.message}`);
}

function parseJson(source: string): unknown {
  if (source === "") throw badJson("unexpected end of JSON input");
  try {
    return JSON.parse(source);
  } catch {
    throw badJson("it is not valid JSON");
  }
}

function badJson(why: string): AuthError {
  return new AuthError(400, "bad_json", `Could not parse request body as JSON: ${why}`);
}

/** Whether every text in a JSON value, keys included, is Unicode without NUL. */
function isStorable(value: unknown): boolean {
  if (typeof value === "string") return value.isWellFormed() && !value.includes("\0");
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([key, inner]) => isStorable(key) && isStorable(inner));
}

/**
 * The address in the form that it is kept in.
 *
 * @throws {AuthError} `validation_failed` if it is no e-mail address.
 */
export function normalizeEmail(email: string): string {
  if (email.length > 255) throw invalid("An email address is too long");
  if (!z.email({ pattern: z.regexes.html5Email }).safeParse(email).success) {
    throw invalid("Unable to validate email address: invalid format");
  }
  return email.toLowerCase();
}
