// HTTP of reading: GET and HEAD of objects, and what is known of them.

import { Hono } from "hono";
import { SERVICE } from "./caller.ts";
import type { Actor } from "./database.ts";
import { deliver } from "./delivery.ts";
import { noSuchBucket } from "./errors.ts";
import {
  actorFor,
  bucketOf,
  nameOf,
  OBJECT,
  refuseVersions,
  type StorageContext,
  type StorageEnv,
} from "./http.ts";
import type { ObjectRow, Objects } from "./objects.ts";

/** Builds the routes. */
export function readRoutes(objects: Objects) {
  const app = new Hono<StorageEnv>();

  app.get(`/info/public${OBJECT}`, async (c) => {
    const actor = await publicReader(c, "storage.object.info_public");
    return c.json(infoOf(await objects.find(actor, nameOf(c))));
  });

  for (const path of [`/info/authenticated${OBJECT}`, `/info${OBJECT}`]) {
    app.get(path, async (c) => {
      const { actor } = await reader(c, "storage.object.get_authenticated_info");
      return c.json(infoOf(await objects.find(actor, nameOf(c))));
    });
  }

  app.get(`/public${OBJECT}`, async (c) => {
    const actor = await publicReader(c, "storage.object.get_public");
    return deliver(c.req.raw, await objects.open(actor, nameOf(c)), { shared: true });
  });

  for (const path of [`/authenticated${OBJECT}`, OBJECT]) {
    app.get(path, async (c) => {
      const operation = c.req.raw.method === "HEAD"
        ? "storage.object.head_authenticated_info"
        : "storage.object.get_authenticated";
      const { actor, shared } = await reader(c, operation);
      return deliver(c.req.raw, await objects.open(actor, nameOf(c)), { shared });
    });
  }

  /** Reads past RLS if the bucket is public, which is all that its being public means. */
  async function publicReader(c: StorageContext, operation: string): Promise<Actor> {
    refuseVersions(c);
    const actor = actorFor(c, SERVICE, operation);
    if (!(await objects.bucket(actor, bucketOf(c))).public) throw noSuchBucket();
    return actor;
  }

  /** Reads as the caller; without key and token only public buckets are there. */
  async function reader(c: StorageContext, operation: string) {
    refuseVersions(c);
    const caller = await c.var.callerOf(c.req.raw);
    const service = actorFor(c, SERVICE, operation);
    const bucket = await objects.bucket(service, bucketOf(c));
    if (bucket.public) return { actor: service, shared: true };
    if (!caller) throw noSuchBucket();
    return { actor: actorFor(c, caller, operation), shared: false };
  }

  return app;
}

function infoOf(row: ObjectRow) {
  return {
    id: row.id,
    name: row.name,
    version: row.version,
    bucket_id: row.bucket_id,
    size: row.metadata?.size ?? null,
    content_type: row.metadata?.mimetype ?? null,
    content_encoding: row.metadata?.contentEncoding ?? null,
    cache_control: row.metadata?.cacheControl ?? null,
    etag: row.metadata?.eTag ?? null,
    metadata: row.user_metadata,
    last_modified: row.updated_at,
    created_at: row.created_at,
  };
}
