// HTTP of buckets: `/storage/v1/bucket`.

import { Hono } from "hono";
import { type Buckets, CreateBucketBody, ListBucketsQuery, UpdateBucketBody } from "./buckets.ts";
import { notSupported } from "./errors.ts";
import { actorOf, jsonBody, parse, type StorageEnv } from "./http.ts";
import type { Objects } from "./objects.ts";

/** Builds the routes. */
export function bucketRoutes(buckets: Buckets, objects: Objects) {
  const app = new Hono<StorageEnv>();

  app.post("/", async (c) => {
    const actor = await actorOf(c, "storage.bucket.create");
    const body = await jsonBody(c, CreateBucketBody);
    await buckets.create(actor, body);
    return c.json({ name: body.name });
  });

  app.get("/", async (c) => {
    const actor = await actorOf(c, "storage.bucket.list");
    return c.json(await buckets.list(actor, parse(ListBucketsQuery, c.req.query(), "querystring")));
  });

  app.get("/:id", async (c) => {
    const actor = await actorOf(c, "storage.bucket.get");
    return c.json(await buckets.get(actor, c.req.param("id")));
  });

  app.put("/:id", async (c) => {
    const actor = await actorOf(c, "storage.bucket.update");
    await buckets.update(actor, c.req.param("id"), await jsonBody(c, UpdateBucketBody));
    return c.json({ message: "Successfully updated" });
  });

  app.delete("/:id", async (c) => {
    await buckets.remove(await actorOf(c, "storage.bucket.delete"), c.req.param("id"));
    return c.json({ message: "Successfully deleted" });
  });

  app.post("/:id/empty", async (c) => {
    await objects.removeAll(await actorOf(c, "storage.bucket.empty"), c.req.param("id"));
    return c.json({ message: "Successfully emptied" });
  });

  app.all("/:id/lifecycle", () => {
    throw notSupported("lifecycle rules");
  });

  return app;
}
