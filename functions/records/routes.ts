// `records`: files and descriptions of medical records, and the import and export of FHIR bundles.

import type { Hono } from "hono";
import { z } from "zod";
import { type AppEnv, newApp } from "../_shared/app.ts";
import type { Deps } from "../_shared/deps.ts";
import { ok } from "../_shared/envelope.ts";
import { withFields } from "../_shared/field_deps.ts";
import { readBody } from "../_shared/json.ts";
import { buildDocument, describe } from "../_shared/openapi.ts";
import { fromQueueOrSecretKey } from "../_shared/queue.ts";
import { type RateLimit, rateLimited } from "../_shared/rate_limit.ts";
import { requireJsonType, validate } from "../_shared/validate.ts";
import { readDescriptions, writeDescription } from "./descriptions.ts";
import { signDownload } from "./downloads.ts";
import { exportRecords, RunningExports } from "./export_records.ts";
import { BundleBody } from "./fhir_bundle.ts";
import { importBundle, MAX_BUNDLE_BYTES } from "./import_bundle.ts";
import {
  CompleteUploadBody,
  DescribedRecord,
  DescriptionBody,
  DownloadAddress,
  EmptyBody,
  ErasedFile,
  ExportedBundle,
  ExportQuery,
  ImportQuery,
  ImportResult,
  MAX_DESCRIPTION_BYTES,
  ReadDescriptionsBody,
  RecordDescription,
  RecordFile,
  RecordParams,
  StartUploadBody,
  SweepResult,
  UploadAddress,
} from "./schemas.ts";
import { sweepFiles } from "./sweep.ts";
import { eraseFile, finishUpload, startUpload } from "./uploads.ts";

const DOCUMENT_PATH = "/records/openapi.json";
const SWEEP_PATH = "/records/sweep";

/** Files are heavy, bundles heavier. */
const FILE_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };
const BUNDLE_LIMIT: RateLimit = { capacity: 10, refillSeconds: 60 };
const DESCRIPTION_LIMIT: RateLimit = { capacity: 120, refillSeconds: 60 };
const DOCUMENT_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };
const SWEEP_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };

/** Builds the records app. */
export function createApp(productDeps: Deps): Hono<AppEnv> {
  const deps = withFields(productDeps);
  const app = newApp(deps, {
    name: "records",
    publicPaths: [DOCUMENT_PATH],
    secretKeyPaths: [SWEEP_PATH],
  });
  const running = new RunningExports();

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
    rateLimited(deps, BUNDLE_LIMIT),
    validate("query", ImportQuery),
    async (c) => {
      requireJsonType(c.req.raw);
      const body = await readBody(c.req.raw, MAX_BUNDLE_BYTES);
      return ok(c, await importBundle(deps, c.var.caller, body, c.req.valid("query")));
    },
  );

  app.get(
    "/records/export",
    describe({
      summary: "Export a patient's records as a FHIR R4 Bundle",
      description:
        "What the caller may see at this moment, and that is not deleted; a share counts once the " +
        "record has been opened. Every export is in the patient's access log. The answer streams: " +
        "when it breaks off, the JSON has no end.",
      answers: { "application/fhir+json": ExportedBundle },
      problems: ["not_found"],
    }),
    rateLimited(deps, BUNDLE_LIMIT),
    validate("query", ExportQuery),
    async (c) => {
      c.header("Content-Type", "application/fhir+json");
      // Nothing goes out, so nothing is decided and logged.
      if (c.req.method === "HEAD") return c.body(null);
      return c.body(await exportRecords(deps, running, c.var.caller, c.req.valid("query")));
    },
  );

  app.post(
    "/records/:id/upload-url",
    describe({
      summary: "Announce a file, get its key and an address to upload it to",
      description: "The client encrypts the file with the key before it uploads it.",
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
        "A file that differs in size, SHA-256 or type, that its key does not open, or that was " +
        "uploaded with another Content-Type or a Content-Encoding, is removed, and has to be " +
        "announced and uploaded again. One that arrived after expires_at counts as missing. " +
        "Completing twice answers the same.",
      data: RecordFile,
      problems: ["not_found", "already_uploaded", "upload_missing", "file_mismatch"],
    }),
    rateLimited(deps, FILE_LIMIT),
    validate("param", RecordParams),
    validate("json", CompleteUploadBody),
    async (c) =>
      ok(c, await finishUpload(deps, c.var.caller, c.req.valid("param").id, c.req.valid("json"))),
  );

  app.post(
    "/records/:id/download-url",
    describe({
      summary: "Get the key of the file and an address that gives it, encrypted, for 60 seconds",
      description: "Needs the right to download; every answer is in the patient's access log.",
      data: DownloadAddress,
      problems: ["not_found", "forbidden"],
    }),
    rateLimited(deps, FILE_LIMIT),
    validate("param", RecordParams),
    validate("json", EmptyBody),
    async (c) => ok(c, await signDownload(deps, c.var.caller, c.req.valid("param").id)),
  );

  app.put(
    "/records/:id/description",
    describe({
      summary: "Write the description of a record",
      description: "For whoever may change the record; null empties it. It is kept encrypted.",
      data: DescribedRecord,
      problems: ["not_found"],
    }),
    rateLimited(deps, DESCRIPTION_LIMIT),
    validate("param", RecordParams),
    validate("json", DescriptionBody, { maxBytes: MAX_DESCRIPTION_BYTES }),
    async (c) => {
      const { id } = c.req.valid("param");
      const { description } = c.req.valid("json");
      return ok(c, await writeDescription(deps, c.var.caller, id, description));
    },
  );

  app.post(
    "/records/descriptions/read",
    describe({
      summary: "Read the descriptions of records",
      description:
        "Records whose contents the caller may not see, or has not opened by their share, are left " +
        "out. A record of somebody else is in that patient's access log.",
      data: z.array(RecordDescription),
    }),
    rateLimited(deps, DESCRIPTION_LIMIT),
    validate("json", ReadDescriptionsBody),
    async (c) => ok(c, await readDescriptions(deps, c.var.caller, c.req.valid("json").record_ids)),
  );

  app.post(
    SWEEP_PATH,
    describe({
      summary: "Remove files that nothing refers to",
      description:
        "For a job, at least daily, by the queue's signature or with the secret key: a batch of " +
        "uploads that ended three hours ago or more, when no address takes them any more, and of " +
        "attachments that are two hours old and in no message, for it was deleted or never sent. " +
        "May be repeated at any time.",
      data: SweepResult,
      needs_secret_key: true,
    }),
    fromQueueOrSecretKey(deps),
    rateLimited(deps, SWEEP_LIMIT),
    validate("json", EmptyBody),
    async (c) => ok(c, await sweepFiles(deps, c.var.context)),
  );

  app.delete(
    "/records/:id/file",
    describe({
      summary: "Erase the file of a record for ever",
      description:
        "For the patient, of a file that the patient has uploaded: its key is destroyed, then the " +
        "file. The record stays, and may get another file. Repeating it answers the same.",
      data: ErasedFile,
      problems: ["not_found", "forbidden"],
    }),
    rateLimited(deps, FILE_LIMIT),
    validate("param", RecordParams),
    async (c) => ok(c, await eraseFile(deps, c.var.caller, c.req.valid("param").id)),
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
