// The one shape of every success, and the schemas that describe both shapes to readers of the API.

import type { Context } from "hono";
import { z } from "zod";
import type { AppEnv } from "./app.ts";
import { PROBLEMS } from "./errors.ts";

/** Answers `data` in the success envelope. */
export function ok(c: Context<AppEnv>, data: unknown, status: 200 | 201 | 202 = 200): Response {
  return c.json({ success: true, data, timestamp: timestamp(c) }, status);
}

/** Answers one page of a listing; `next_cursor` is null on the last one. */
export function okPage(c: Context<AppEnv>, rows: unknown[], next_cursor: string | null): Response {
  return c.json({ success: true, data: rows, meta: { next_cursor }, timestamp: timestamp(c) });
}

function timestamp(c: Context<AppEnv>): string {
  return new Date(c.var.now()).toISOString();
}

/** Schema of a success that carries `data`. */
export function successOf<T extends z.ZodType>(data: T) {
  return z.strictObject({
    success: z.literal(true),
    data,
    timestamp: z.iso.datetime(),
  });
}

/** Schema of every failure. */
export const Failure = z.strictObject({
  success: z.literal(false),
  error: z.strictObject({
    code: z.enum(Object.keys(PROBLEMS)),
    message: z.string(),
    details: z.array(z.strictObject({
      path: z.string(),
      message: z.string(),
      position: z.int().optional(),
    })).optional(),
    request_id: z.string(),
  }),
  timestamp: z.iso.datetime(),
}).meta({ id: "Failure" });
