// Input at the edge: body, query and path parameters are parsed by zod once, before the handler runs.

import type { Context, MiddlewareHandler } from "hono";
import type { z } from "zod";
import type { AppEnv } from "./app.ts";
import { AppError, type ProblemDetail } from "./errors.ts";
import { findUnstorable, parseJson, readBody } from "./json.ts";
import { documented } from "./openapi.ts";

interface BodyLimits {
  /** Largest body, in bytes. */
  maxBytes?: number;
}

/** Largest body of a route that names no other, in bytes. */
const MAX_BODY_BYTES = 64 * 1024;
/** Most values in such a body. */
const MAX_BODY_VALUES = 5_000;

/** Content types that are read as JSON. */
const JSON_TYPE = /^application\/(?:[a-z0-9.-]+\+)?json\s*(?:;|$)/i;

type Target = "json" | "query" | "param";
type Validated<T extends Target, S extends z.ZodObject> = MiddlewareHandler<
  AppEnv,
  string,
  { in: { [K in T]: z.input<S> }; out: { [K in T]: z.output<S> } }
>;

/**
 * Parses one part of the request with a strict schema; `c.req.valid(target)` then gives its value.
 * A body that is left out counts as `{}`.
 *
 * Failures: `invalid_request` with a detail for each fault, `unsupported_media_type`,
 * `payload_too_large`.
 */
export function validate<T extends Target, S extends z.ZodObject>(
  target: T,
  schema: S,
  { maxBytes = MAX_BODY_BYTES }: BodyLimits = {},
): Validated<T, S> {
  const middleware: Validated<T, S> = async (c, next) => {
    const result = schema.safeParse(await readPart(c, target, maxBytes));
    if (!result.success) {
      throw new AppError(
        "invalid_request",
        "The request does not have the form that is asked for",
        {
          details: result.error.issues.map(toDetail),
        },
      );
    }
    c.req.addValidatedData(target, result.data);
    await next();
  };
  return documented(middleware, { target, schema });
}

async function readPart(
  c: Context<AppEnv>,
  target: Target,
  maxBytes: number,
): Promise<unknown> {
  if (target === "param") return c.req.param();
  if (target === "query") {
    return Object.fromEntries(
      Object.entries(c.req.queries()).map(([name, all]) => [name, all.length === 1 ? all[0] : all]),
    );
  }
  const bytes = await readBody(c.req.raw, maxBytes);
  if (bytes.length === 0) return {};
  requireJsonType(c.req.raw);
  const { value } = parseJson(bytes, MAX_BODY_VALUES);
  if (findUnstorable(value)) {
    throw new AppError("invalid_request", "A text has a NUL character or half a surrogate pair");
  }
  return value;
}

/**
 * Refuses a body that does not say it is JSON.
 *
 * @throws {AppError} `unsupported_media_type`.
 */
export function requireJsonType(request: Request): void {
  if (!JSON_TYPE.test(request.headers.get("content-type") ?? "")) {
    throw new AppError("unsupported_media_type", "Content-Type must be application/json");
  }
}

/** Says what is wrong and where, without repeating what was sent. */
function toDetail(issue: z.core.$ZodIssue): ProblemDetail {
  const path = issue.path.map(String).join(".");
  if (issue.code !== "unrecognized_keys") return { path, message: issue.message };
  const names = issue.keys.filter((key) => /^\w{1,40}$/.test(key)).join(", ");
  return { path, message: names ? `Unknown field: ${names}` : "Unknown field" };
}
