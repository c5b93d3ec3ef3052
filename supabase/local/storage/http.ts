// What the routes share: who asks, and how bodies and queries are parsed.

import type { Context } from "hono";
import { z } from "zod";
import type { Caller } from "./caller.ts";
import type { Actor, ObjectName } from "./database.ts";
import { invalidRequest, notSupported, tooLarge } from "./errors.ts";
import { checkBucketName } from "./limits.ts";

/** Variables of a request. */
export interface StorageEnv {
  Variables: { callerOf: (request: Request) => Promise<Caller | undefined> };
}

export type StorageContext = Context<StorageEnv>;

/** Path of one object. A key has any letters here, slashes and line ends too: limits.ts refuses. */
export const OBJECT = "/:bucket/:key{[\\s\\S]+}";

/** Largest JSON body, in bytes. */
const MAX_JSON_BYTES = 1024 * 1024;

/** Who asks for an operation; throws when nobody says so. */
export async function actorOf(c: StorageContext, operation: string): Promise<Actor> {
  const caller = await c.var.callerOf(c.req.raw);
  if (!caller) throw invalidRequest("headers must have required property 'authorization'");
  return actorFor(c, caller, operation);
}

/** Somebody in particular, in this request. */
export function actorFor(c: StorageContext, caller: Caller, operation: string): Actor {
  const { pathname } = new URL(c.req.url); // as sent: a decoded path may hold what no setting takes
  return { caller, operation, method: c.req.raw.method, path: pathname };
}

/** The bucket that the path names; throws when none can have that name. */
export function bucketOf(c: StorageContext): string {
  const bucket = c.req.param("bucket") ?? "";
  checkBucketName(bucket);
  return bucket;
}

/** The object that the path names. */
export function nameOf(c: StorageContext): ObjectName {
  return { bucket: bucketOf(c), key: c.req.param("key") ?? "" };
}

/** `<bucket>/<key>`, as answers and signed tokens name an object. */
export function urlOf({ bucket, key }: ObjectName): string {
  return `${bucket}/${key}`;
}

/** Reads and checks a JSON body; an absent one counts as `{}`. */
export async function jsonBody<T>(c: StorageContext, schema: z.ZodType<T>): Promise<T> {
  const text = await readText(c.req.raw);
  let value: unknown;
  try {
    value = text === "" ? {} : JSON.parse(text);
  } catch {
    throw invalidRequest("Body is not valid JSON");
  }
  return parse(schema, value, "body");
}

/** Checks a value from outside; the message names what is wrong first. */
export function parse<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = [where, ...(issue?.path ?? [])].join("/");
  throw invalidRequest(`${path} ${issue?.message ?? "is invalid"}`);
}

/** Throws if the request names a version of an object: none is kept. */
export function refuseVersions(c: StorageContext): void {
  if (c.req.query("versionId") !== undefined) throw notSupported("object versions");
}

async function readText(request: Request): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > MAX_JSON_BYTES) throw tooLarge("body");
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
