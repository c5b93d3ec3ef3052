// HTTP of objects: `/storage/v1/object`. A path is `<bucket>/<key>`, and a key has slashes.

import { Hono } from "hono";
import { z } from "zod";
import type { Actor } from "./database.ts";
import { noSuchKey } from "./errors.ts";
import {
  actorOf,
  bucketOf,
  jsonBody,
  nameOf,
  OBJECT,
  type StorageContext,
  type StorageEnv,
  urlOf,
} from "./http.ts";
import { decodeBase64, parseMetadata, readUpload } from "./incoming.ts";
import { checkBucketName, MAX_KEYS_PER_REQUEST } from "./limits.ts";
import { ListBody, listByPrefix, listFolder, ListV2Body } from "./listing.ts";
import type { Objects } from "./objects.ts";
import { readRoutes } from "./read_routes.ts";
import { signedRoutes } from "./signed_routes.ts";
import type { UrlTokens } from "./tokens.ts";

const RemoveBody = z.object({ prefixes: z.array(z.string()).min(1).max(MAX_KEYS_PER_REQUEST) });

const bucket = z.string().refine((id) => {
  checkBucketName(id);
  return true;
});

const MoveBody = z.object({
  bucketId: bucket,
  sourceKey: z.string(),
  destinationBucket: bucket.optional(),
  destinationKey: z.string(),
  sourceVersionId: z.undefined({ error: "is not supported: object versions are not kept" })
    .optional(),
});

const headerText = z.string().regex(/^[\x20-\x7e]{1,255}$/);

const CopyBody = MoveBody.extend({
  copyMetadata: z.boolean().default(true),
  metadata: z.object({
    cacheControl: headerText.optional(),
    mimetype: headerText.optional(),
    contentEncoding: headerText.optional(),
  }).optional(),
});

/** Builds the routes. The first that fits answers: those with a word for the bucket come first. */
export function objectRoutes(objects: Objects, tokens: Promise<UrlTokens>) {
  const app = new Hono<StorageEnv>();

  app.post("/list/:bucket", async (c) => {
    const actor = await actorOf(c, "storage.object.list");
    return c.json(await listFolder(objects.db, actor, bucketOf(c), await jsonBody(c, ListBody)));
  });

  app.post("/list-v2/:bucket", async (c) => {
    const actor = await actorOf(c, "storage.object.list_v2");
    return c.json(
      await listByPrefix(objects.db, actor, bucketOf(c), await jsonBody(c, ListV2Body)),
    );
  });

  app.post("/copy", async (c) => {
    const actor = await actorOf(c, "storage.object.copy");
    const body = await jsonBody(c, CopyBody);
    const { from, to } = namesOf(body);
    const id = await objects.copy(actor, from, to, {
      upsert: c.req.header("x-upsert") === "true",
      copyMetadata: body.copyMetadata,
      metadata: body.metadata,
      userMetadata: parseMetadata(decodeBase64(c.req.header("x-metadata") ?? null)),
    });
    return c.json({ Id: id, Key: urlOf(to), id, name: to.key, bucket_id: to.bucket });
  });

  app.post("/move", async (c) => {
    const actor = await actorOf(c, "storage.object.move");
    const { from, to } = namesOf(await jsonBody(c, MoveBody));
    const id = await objects.move(actor, from, to);
    return c.json({ message: "Successfully moved", Id: id, Key: to.key });
  });

  app.route("/", signedRoutes(objects, tokens));
  app.route("/", readRoutes(objects));

  app.post(OBJECT, async (c) => {
    const actor = await actorOf(c, "storage.object.upload");
    return await upload(c, actor, c.req.header("x-upsert") === "true");
  });

  app.put(OBJECT, async (c) => {
    return await upload(c, await actorOf(c, "storage.object.upload_update"), true);
  });

  app.delete(OBJECT, async (c) => {
    const actor = await actorOf(c, "storage.object.delete");
    const { bucket, key } = nameOf(c);
    const removed = await objects.remove(actor, bucket, [key]);
    if (removed.length === 0) throw noSuchKey();
    return c.json({ message: "Successfully deleted" });
  });

  app.delete("/:bucket", async (c) => {
    const actor = await actorOf(c, "storage.object.delete_many");
    const { prefixes } = await jsonBody(c, RemoveBody);
    return c.json(await objects.remove(actor, bucketOf(c), prefixes));
  });

  async function upload(c: StorageContext, actor: Actor, upsert: boolean): Promise<Response> {
    const name = nameOf(c);
    const ownerId = actor.caller.userId;
    const id = await objects.upload(actor, name, () => readUpload(c.req.raw), { upsert, ownerId });
    return c.json({ Id: id, Key: urlOf(name) });
  }

  return app;
}

function namesOf(body: z.infer<typeof MoveBody>) {
  const { bucketId, sourceKey, destinationBucket = bucketId, destinationKey } = body;
  return {
    from: { bucket: bucketId, key: sourceKey },
    to: { bucket: destinationBucket, key: destinationKey },
  };
}
