// `/storage/v1` of the embedded stack.

import type { Part, StackContext } from "../context.ts";

/** Builds the storage part. */
export function createStorage(_context: StackContext): Part {
  return () => Response.json({ statusCode: "501", error: "not_built" }, { status: 501 });
}
