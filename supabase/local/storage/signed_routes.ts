// HTTP of signed URLs: making them needs the caller's rights, using them needs the token alone.

import { Hono } from "hono";
import { z } from "zod";
import { SERVICE } from "./caller.ts";
import { deliver } from "./delivery.ts";
import { invalidRequest } from "./errors.ts";
import {
  actorFor,
  actorOf,
  bucketOf,
  jsonBody,
  nameOf,
  OBJECT,
  type StorageContext,
  type StorageEnv,
  urlOf,
} from "./http.ts";
import { readUpload } from "./incoming.ts";
import { MAX_KEYS_PER_REQUEST } from "./limits.ts";
import type { Objects } from "./objects.ts";
import type { UrlTokens } from "./tokens.ts";

/** How long a signed upload URL is good for on hosted Supabase. */
const UPLOAD_TTL_SECONDS = 2 * 60 * 60;

const INVISIBLE = "Either the object does not exist or you do not have access to it";

const SignBody = z.object({
  expiresIn: z.int().min(1),
  transform: z.undefined({ error: "is not supported: there is no image transformation" })
    .optional(),
  versionId: z.undefined({ error: "is not supported: object versions are not kept" }).optional(),
});

const SignManyBody = z.object({
  expiresIn: z.int().min(1),
  paths: z.array(z.string()).min(1).max(MAX_KEYS_PER_REQUEST),
});

/** Hosted Supabase takes no expiry and signs for two hours; here a shorter one may be had. */
const SignUploadBody = z.object({
  expiresIn: z.int().min(1).max(UPLOAD_TTL_SECONDS).default(UPLOAD_TTL_SECONDS),
});

/** Builds the routes. */
export function signedRoutes(objects: Objects, ready: Promise<UrlTokens>) {
  const app = new Hono<StorageEnv>();

  app.post("/sign/:bucket", async (c) => {
    const actor = await actorOf(c, "storage.object.sign_many");
    const { expiresIn, paths } = await jsonBody(c, SignManyBody);
    const bucket = bucketOf(c);
    const visible = await objects.visible(actor, bucket, paths);
    const sign = async (path: string) =>
      visible.has(path)
        ? { path, signedURL: await signedUrl(`${bucket}/${path}`, expiresIn), error: null }
        : { path, signedURL: null, error: INVISIBLE };
    return c.json(await Promise.all(paths.map(sign)));
  });

  app.post(`/sign${OBJECT}`, async (c) => {
    const actor = await actorOf(c, "storage.object.sign");
    const { expiresIn } = await jsonBody(c, SignBody);
    const name = nameOf(c);
    await objects.find(actor, name);
    return c.json({ signedURL: await signedUrl(urlOf(name), expiresIn) });
  });

  app.get(`/sign${OBJECT}`, async (c) => {
    const name = nameOf(c);
    const { exp } = await (await ready).verifyDownload(tokenOf(c), urlOf(name));
    const opened = await objects.open(actorFor(c, SERVICE, "storage.object.get_signed"), name);
    return deliver(c.req.raw, opened, { shared: false, expiresAt: exp });
  });

  app.post(`/upload/sign${OBJECT}`, async (c) => {
    const actor = await actorOf(c, "storage.object.sign_upload_url");
    const { expiresIn } = await jsonBody(c, SignUploadBody);
    const name = nameOf(c);
    const upsert = c.req.header("x-upsert") === "true";
    const owner = actor.caller.userId;
    await objects.bucket(actor, name.bucket);
    await objects.mayWrite(actor, name, { upsert, ownerId: owner, metadata: {} });
    const token = await (await ready).signUpload({ url: urlOf(name), owner, upsert }, expiresIn);
    return c.json({ url: `/object/upload/sign/${urlOf(name)}?token=${token}`, token });
  });

  app.put(`/upload/sign${OBJECT}`, async (c) => {
    const name = nameOf(c);
    const { upsert, owner } = await (await ready).verifyUpload(tokenOf(c), urlOf(name));
    const actor = actorFor(c, SERVICE, "storage.object.upload_signed");
    const receive = () => readUpload(c.req.raw);
    await objects.upload(actor, name, receive, { upsert, ownerId: owner });
    return c.json({ Key: urlOf(name) });
  });

  async function signedUrl(url: string, ttlSeconds: number): Promise<string> {
    return `/object/sign/${url}?token=${await (await ready).signDownload(url, ttlSeconds)}`;
  }

  return app;
}

function tokenOf(c: StorageContext): string {
  const token = c.req.query("token");
  if (!token) throw invalidRequest("querystring must have required property 'token'");
  return token;
}
