// `/storage/v1` of the embedded stack: hosted Supabase's Storage over the same tables and policies,
// with files in the stack's data folder. The paths, bodies and errors are those of its API, so that
// the unmodified client works.

import { Hono } from "hono";
import { join } from "@std/path";
import type { Part, StackContext } from "../context.ts";
import { Blobs } from "./blobs.ts";
import { bucketRoutes } from "./bucket_routes.ts";
import { Buckets } from "./buckets.ts";
import { createCallerOf } from "./caller.ts";
import { Database } from "./database.ts";
import { logFault, notSupported, StorageError, toResponse } from "./errors.ts";
import type { StorageEnv } from "./http.ts";
import { objectRoutes } from "./object_routes.ts";
import { Objects } from "./objects.ts";
import { createUrlTokens } from "./tokens.ts";

/** What hosted Supabase serves beside objects and buckets, by the beginning of the path. */
const NOT_SUPPORTED: Record<string, string> = {
  "/render/*": "image transformation",
  "/upload/resumable/*": "resumable uploads",
  "/upload/resumable": "resumable uploads",
  "/s3/*": "S3 protocol",
  "/s3": "S3 protocol",
  "/vector/*": "vector buckets",
  "/iceberg/*": "analytics buckets",
  "/cdn/*": "cache to purge",
};

/** Builds the storage part; files that a crash left without a row are removed first. */
export function createStorage(context: StackContext): Part {
  const db = new Database(context.admin);
  const objects = new Objects(db, new Blobs(join(context.dataDir, "storage")), context.now);
  const swept = sweep(objects);
  const tokens = createUrlTokens(context);
  const callerOf = createCallerOf(context);

  const app = new Hono<StorageEnv>().basePath("/storage/v1");
  app.use(async (c, next) => {
    await swept;
    c.set("callerOf", callerOf);
    await next();
  });
  app.route("/bucket", bucketRoutes(new Buckets(db), objects));
  app.route("/object", objectRoutes(objects, tokens));
  app.get("/status", (c) => c.body(null, 200));
  for (const [path, feature] of Object.entries(NOT_SUPPORTED)) {
    app.all(path, () => toResponse(notSupported(feature)));
  }
  app.onError((error) => toResponse(error));
  app.notFound((c) =>
    toResponse(
      new StorageError("NoSuchRoute", 404, `Route ${c.req.method}:${c.req.path} not found`, {
        error: "Not Found",
        httpStatus: 404,
      }),
    )
  );
  return (request) => app.fetch(request);
}

async function sweep(objects: Objects): Promise<void> {
  try {
    await objects.sweep();
  } catch (error) {
    // A stack that stops right after its start takes the connections away; the next start sweeps.
    if (error instanceof Error && "code" in error && error.code === "CONNECTION_ENDED") return;
    logFault("Files that no object uses were not looked for", error);
  }
}
