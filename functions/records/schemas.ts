// What the routes of `records` take and answer.

import { z } from "zod";
import { FILE_TYPES, isFileType } from "./file_type.ts";
import { MAX_LISTED_ERRORS } from "./import_bundle.ts";
import { SOURCE_SYSTEM } from "./import_plan.ts";

/** Largest file, in bytes: 50 MiB. */
export const MAX_FILE_BYTES = 50 * 1024 * 1024;

const Count = z.int().min(0);
const Counts = z.record(z.string(), Count);
const FileTypeName = z.enum(Object.keys(FILE_TYPES).filter(isFileType));

export const RecordParams = z.strictObject({ id: z.guid() });

/** Of routes that take no body; `{}` is fine. */
export const EmptyBody = z.strictObject({});

const AnnouncedFile = z.strictObject({
  file_name: z.string().min(1).max(255).regex(
    /^[^/\\\p{Cc}]+$/u,
    "Must be a name without slashes and control characters",
  ),
  file_type: FileTypeName,
  file_size: z.int().min(1).max(MAX_FILE_BYTES),
  file_sha256: z.string().regex(/^[0-9a-f]{64}$/, "Must be 64 lower-case hexadecimal digits"),
});

/** Body of `POST /records/:id/upload-url`. */
export const StartUploadBody = AnnouncedFile;

export const UploadAddress = z.strictObject({
  upload_id: z.guid(),
  url: z.url().meta({ description: "Takes one PUT of the file, until expires_at" }),
  token: z.string().meta({ description: "For uploadToSignedUrl of the client library" }),
  path: z.string(),
  expires_at: z.iso.datetime(),
});

export const RecordFile = AnnouncedFile.extend({ record_id: z.guid() });

export const DownloadAddress = AnnouncedFile.extend({
  url: z.url().meta({ description: "Gives the file, for 60 seconds" }),
  expires_at: z.iso.datetime(),
});

export const SweepResult = z.strictObject({
  swept: Count.meta({ description: "Uploads whose objects are gone now" }),
  has_more: z.boolean().meta({ description: "Whether to call again at once" }),
});

/** Query of `POST /records/import`. */
export const ImportQuery = z.strictObject({
  patient_id: z.guid().optional().meta({ description: "The caller when left out" }),
  source_system: z.string().regex(SOURCE_SYSTEM, "Must be a URI of 1 to 500 characters").optional()
    .meta({
      description:
        "Where the bundle comes from; else the system of the patient's first identifier, " +
        "or that of the bundle's identifier",
    }),
});

export const ImportResult = z.strictObject({
  patient_id: z.guid(),
  source_system: z.string(),
  imported: Count,
  updated: Count,
  unchanged: Count,
  kept: Count,
  by_type: Counts,
  skipped: Counts,
  patient: z.enum(["absent", "filled", "unchanged"]),
  error_count: Count,
  errors: z.array(z.strictObject({
    index: Count,
    resource_type: z.string().nullable(),
    path: z.string(),
    message: z.string(),
  })).max(MAX_LISTED_ERRORS),
});
