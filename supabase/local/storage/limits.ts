// Which names, sizes and types Storage takes: the rules of hosted Supabase.

import {
  invalidBucketName,
  invalidKey,
  invalidMimeType,
  invalidRequest,
  tooLarge,
} from "./errors.ts";

/** Largest object of any bucket, in bytes (50 MiB). */
export const MAX_OBJECT_BYTES = 50 * 1024 * 1024;

/** Most keys that one request may name. */
export const MAX_KEYS_PER_REQUEST = 1000;

/** Longest key, in bytes of UTF-8, as on S3. */
const MAX_KEY_BYTES = 1024;

const BUCKET_NAME = /^[\w!.*'() &$=@;:+,?-]{1,100}$/;

// Controls, what S3 advises against, and letters that cannot be seen: a name that looks like
// another is a way to deceive. Joiners and tags, which emoji and some scripts need, may be there.
const FORBIDDEN_IN_KEY =
  /[\p{Cc}\p{Zl}\p{Zp}\u034f#[\]{}^`"<>\\|%~]|(?![\u200c\u200d\u{e0020}-\u{e007f}])\p{Cf}/u;

const DOT_SEGMENT = /(^|\/)\.{1,2}(\/|$)/;

/** Throws unless `name` can name a bucket. */
export function checkBucketName(name: string): void {
  if (!BUCKET_NAME.test(name)) throw invalidBucketName();
}

/** Whether `key` can name an object. */
export function isValidKey(key: string): boolean {
  return key !== "" && key.isWellFormed() && !FORBIDDEN_IN_KEY.test(key) &&
    !DOT_SEGMENT.test(key) && new TextEncoder().encode(key).length <= MAX_KEY_BYTES;
}

/** Throws unless `key` can name an object. */
export function checkKey(key: string): void {
  if (!isValidKey(key)) throw invalidKey(key.toWellFormed());
}

/** Limits of one bucket, as its row states them. */
export interface BucketLimits {
  /** Bytes; null for the limit of the server. */
  fileSizeLimit: number | null;
  /** Types such as `image/png`, `image/*` or `*`; null or empty for any. */
  allowedMimeTypes: string[] | null;
}

/** Bytes that an object of this name may have. */
export function sizeLimit(limits: BucketLimits, key: string): number {
  if (isFolderPlaceholder(key)) return 0;
  return Math.min(limits.fileSizeLimit ?? MAX_OBJECT_BYTES, MAX_OBJECT_BYTES);
}

/** Throws unless the bucket takes this type; what follows a semicolon does not matter. */
export function checkMimeType(limits: BucketLimits, key: string, mimeType: string): void {
  const allowed = limits.allowedMimeTypes ?? [];
  if (allowed.length === 0 || isFolderPlaceholder(key)) return;
  const wanted = essence(mimeType);
  const [type, subtype] = wanted.split("/");
  const fits = allowed.map(essence).some((entry) =>
    entry === "*" || entry === "*/*" || entry === wanted || entry === `${type}/*`
  );
  if (!type || !subtype || !fits) throw invalidMimeType(mimeType);
}

function essence(mimeType: string): string {
  return (mimeType.split(";")[0] ?? "").trim().toLowerCase();
}

/** The dashboard keeps an empty folder alive with an object of this name. */
function isFolderPlaceholder(key: string): boolean {
  return key.endsWith(".emptyFolderPlaceholder");
}

/** Throws unless each entry of a bucket's list of types is one. */
export function checkMimeTypeList(types: string[]): void {
  for (const type of types) {
    const valid = type === "*" ||
      /^[\w.+-]+\/(\*|[\w.+-]+(;\s*charset=[\w-]+)?)$|^\*\/\*$/.test(type);
    if (!valid || type.length > 1000) throw invalidMimeType(type);
  }
}

const UNIT_BYTES: Record<string, number> = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9 };

/** Reads a bucket's size limit, bytes or text such as `20MB`; throws if it is over the server's. */
export function parseSizeLimit(value: number | string): number {
  let bytes = value;
  if (typeof bytes === "string") {
    const [, amount, unit] = /^(\d+(?:\.\d+)?)(gb|mb|kb|b)$/i.exec(bytes) ?? [];
    const factor = UNIT_BYTES[unit?.toUpperCase() ?? ""];
    if (!amount || !factor) {
      throw invalidRequest("Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B");
    }
    bytes = Math.round(Number(amount) * factor);
  }
  if (bytes > MAX_OBJECT_BYTES) throw tooLarge();
  return bytes;
}
