// `records`: files of medical records, and the import of FHIR bundles.

import type { Hono } from "hono";
import { type AppEnv, newApp, withSecretKey } from "../_shared/app.ts";
import type { Deps } from "../_shared/deps.ts";
import { ok } from "../_shared/envelope.ts";
import { readBody } from "../_shared/json.ts";
import { buildDocument, describe } from "../_shared/openapi.ts";
import { type RateLimit, rateLimited } from "../_shared/rate_limit.ts";
import { requireJsonType, validate } from "../_shared/validate.ts";
import { signDownload } from "./downloads.ts";
import { BundleBody } from "./fhir_bundle.ts";
import { importBundle, MAX_BUNDLE_BYTES } from "./import_bundle.ts";
import {
  DownloadAddress,
  EmptyBody,
  ImportQuery,
  ImportResult,
  RecordFile,
  RecordParams,
  StartUploadBody,
  SweepResult,
  UploadAddress,
} from "./schemas.ts";
import { sweepUploads } from "./sweep.ts";
import { finishUpload, startUpload } from "./uploads.ts";

const DOCUMENT_PATH = "/records/openapi.json";
const SWEEP_PATH = "/records/sweep";

/** Files are heavy, bundles heavier. */
const FILE_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };
const IMPORT_LIMIT: RateLimit = { capacity: 10, refillSeconds: 60 };
const DOCUMENT_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };
const SWEEP_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };

/** Builds the records app. */
export function createApp(deps: Deps): Hono<AppEnv> {
  const app = newApp(deps, {
    name: "records",
    publicPaths: [DOCUMENT_PATH],
    secretKeyPaths: [SWEEP_PATH],
  });

  app.post(
    "/records/import",
    describe({
      summary: "Import a FHIR R4 Bundle",
      description:
        "Importing the same again adds nothing; a changed resource updates its record. A " +
        "resource that is not valid is reported, and the rest goes in.",
      bodies: { "application/fhir+json": BundleBody, "application/json": BundleBody },
      data: ImportResult,
      problems: ["not_found", "wrong_patient"],
    }),
    rateLimited(deps, IMPORT_LIMIT),
    validate("query", ImportQuery),
    async (c) => {
      requireJsonType(c.req.raw);
      const body = await readBody(c.req.raw, MAX_BUNDLE_BYTES);
      return ok(c, await importBundle(deps, c.var.caller, body, c.req.valid("query")));
    },
  );

  app.post(
    "/records/:id/upload-url",
    describe({
      summary: "Announce a file and get an address to upload it to",
      data: UploadAddress,
      problems: ["not_found", "already_uploaded"],
    }),
    rateLimited(deps, FILE_LIMIT),
    validate("param", RecordParams),
    validate("json", StartUploadBody),
    async (c) =>
      ok(c, await startUpload(deps, c.var.caller, c.req.valid("param").id, c.req.valid("json"))),
  );

  app.post(
    "/records/:id/complete",
    describe({
      summary: "Take over the uploaded file when it is what was announced",
      description:
        "A file that differs in size, SHA-256 or type, or was uploaded with another Content-Type " +
        "or a Content-Encoding, is removed, and has to be announced and uploaded again. One that " +
        "arrived after expires_at counts as missing. Completing twice answers the same.",
      data: RecordFile,
      problems: ["not_found", "already_uploaded", "upload_missing", "file_mismatch"],
    }),
    rateLimited(deps, FILE_LIMIT),
    validate("param", RecordParams),
    validate("json", EmptyBody),
    async (c) => ok(c, await finishUpload(deps, c.var.caller, c.req.valid("param").id)),
  );

  app.post(
    "/records/:id/download-url",
    describe({
      summary: "Get an address that gives the file for 60 seconds",
      description: "Needs the right to download; every answer is in the patient's access log.",
      data: DownloadAddress,
      problems: ["not_found", "forbidden"],
    }),
    rateLimited(deps, FILE_LIMIT),
    validate("param", RecordParams),
    validate("json", EmptyBody),
    async (c) => ok(c, await signDownload(deps, c.var.caller, c.req.valid("param").id)),
  );

  app.post(
    SWEEP_PATH,
    describe({
      summary: "Remove what was uploaded and never taken over",
      description:
        "For a job, at least daily, with the secret key: a batch of uploads that ended three hours " +
        "ago or more, when no address takes them any more. May be repeated at any time.",
      data: SweepResult,
      needs_secret_key: true,
    }),
    withSecretKey(deps),
    rateLimited(deps, SWEEP_LIMIT),
    validate("json", EmptyBody),
    async (c) => ok(c, await sweepUploads(deps, c.var.context)),
  );

  app.get(
    DOCUMENT_PATH,
    describe({ summary: "This document", is_public: true }),
    rateLimited(deps, DOCUMENT_LIMIT),
    (c) => {
      c.header("Cache-Control", "public, max-age=300");
      return c.json(document);
    },
  );

  const document = buildDocument(app, "Records", `${deps.publicUrl}/functions/v1`);
  return app;
}
