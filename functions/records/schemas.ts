// What the routes of `records` take and answer.

import { z } from "zod";
import { EXPORT_TYPES } from "./export_records.ts";
import { FILE_TYPES, isFileType } from "./file_type.ts";
import { MAX_LISTED_ERRORS } from "./import_bundle.ts";
import { SOURCE_SYSTEM } from "./import_plan.ts";

/** Largest file before encryption, in bytes: 50 MB. Sealed, it still fits an object of 50 MiB. */
export const MAX_FILE_BYTES = 50_000_000;

const Count = z.int().min(0);
const Counts = z.record(z.string(), Count);
const FileTypeName = z.enum(Object.keys(FILE_TYPES).filter(isFileType));

export const RecordParams = z.strictObject({ id: z.guid() });

/** Of routes that take no body; `{}` is fine. */
export const EmptyBody = z.strictObject({});

const MAX_DESCRIPTION_LENGTH = 20_000;
/** Largest body of `PUT /records/:id/description`: every character may be written as `\uXXXX\uXXXX`. */
export const MAX_DESCRIPTION_BYTES = 256 * 1024;
const DESCRIPTION_RULE = `Must have 1 to ${MAX_DESCRIPTION_LENGTH} characters`;

/** Body of `PUT /records/:id/description`; null empties it. */
export const DescriptionBody = z.strictObject({
  // Counted as the database counts: by code points.
  description: z.string().min(1, DESCRIPTION_RULE).refine(
    (text) => [...text].length <= MAX_DESCRIPTION_LENGTH,
    DESCRIPTION_RULE,
  ).nullable(),
});

export const DescribedRecord = z.strictObject({ record_id: z.guid() });

/** Body of `POST /records/descriptions/read`. */
export const ReadDescriptionsBody = z.strictObject({
  record_ids: z.array(z.guid()).min(1).max(100),
});

export const RecordDescription = z.strictObject({
  record_id: z.guid(),
  description: z.string().nullable(),
});

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, "Must be 64 lower-case hexadecimal digits");

const AnnouncedFile = z.strictObject({
  file_name: z.string().min(1).max(255).regex(
    /^[^/\\\p{Cc}]+$/u,
    "Must be a name without slashes and control characters",
  ),
  file_type: FileTypeName,
  file_size: z.int().min(1).max(MAX_FILE_BYTES).meta({ description: "Bytes before encryption" }),
  file_sha256: Sha256.meta({ description: "SHA-256 before encryption" }),
});

/** Body of `POST /records/:id/upload-url`. */
export const StartUploadBody = AnnouncedFile;

const FileEncryption = z.strictObject({
  format: z.literal("blf1").meta({ description: "docs/file-encryption.md" }),
  key: z.base64().meta({ description: "AES-256 key of this file alone, 32 bytes" }),
  key_id: z.guid(),
}).meta({ id: "FileEncryption" });

/** Body of `POST /records/:id/complete`. */
export const CompleteUploadBody = z.strictObject({
  ciphertext_sha256: Sha256.meta({ description: "SHA-256 of the encrypted file, as uploaded" }),
  upload_id: z.guid().optional().meta({ description: "The newest announcement when left out" }),
});

export const UploadAddress = z.strictObject({
  upload_id: z.guid(),
  url: z.url().meta({
    description:
      "Takes one PUT of the encrypted file as application/octet-stream, until expires_at",
  }),
  token: z.string().meta({ description: "For uploadToSignedUrl of the client library" }),
  path: z.string(),
  expires_at: z.iso.datetime(),
  encryption: FileEncryption,
});

export const RecordFile = AnnouncedFile.extend({ record_id: z.guid() });

export const DownloadAddress = AnnouncedFile.extend({
  url: z.url().meta({ description: "Gives the encrypted file, for 60 seconds" }),
  expires_at: z.iso.datetime(),
  encryption: FileEncryption,
});

export const ErasedFile = z.strictObject({
  record_id: z.guid(),
  erased_at: z.iso.datetime(),
});

export const SweepResult = z.strictObject({
  swept: Count.meta({ description: "Files that are gone now" }),
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

/** Query of `GET /records/export`. */
export const ExportQuery = z.strictObject({
  patient_id: z.guid().optional().meta({ description: "The caller when left out" }),
  _since: z.iso.datetime({ offset: true }).regex(
    /T\d{2}:\d{2}:\d{2}/,
    "Must be a FHIR instant with seconds and an offset, whose + is sent as %2B",
  ).optional().meta({
    description: "FHIR instant: only records whose entry or contents changed at it or after it",
  }),
  _type: z.string().transform((names) => names.split(",")).pipe(z.array(z.enum(EXPORT_TYPES)))
    .optional().meta({ description: "Resource types, by comma; all when left out" }),
});

/** A Bundle as an export writes it. */
export const ExportedBundle = z.strictObject({
  resourceType: z.literal("Bundle"),
  type: z.literal("collection"),
  timestamp: z.iso.datetime().meta({ description: "The moment that the bundle shows" }),
  entry: z.array(z.strictObject({
    fullUrl: z.string(),
    resource: z.looseObject({ resourceType: z.enum(EXPORT_TYPES) }),
  })).optional(),
}).meta({ id: "ExportedBundle" });

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
