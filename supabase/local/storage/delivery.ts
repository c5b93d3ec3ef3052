// The answer that carries an object: headers, conditions, ranges and the bytes as a stream.

import type { OpenBlob } from "./blobs.ts";
import { rangeNotSatisfiable } from "./errors.ts";
import type { ObjectRow } from "./objects.ts";

/** How to answer. */
export interface DeliveryOptions {
  /** Whether anybody may see the object, so that caches may share it. */
  shared: boolean;
  /** When the URL stops working, unix seconds. */
  expiresAt?: number;
}

/** Bytes read from the file at a time. */
const CHUNK_BYTES = 256 * 1024;

/** Answers GET or HEAD with an open object; closes it in the end. */
export function deliver(
  request: Request,
  { row, blob }: { row: ObjectRow; blob: OpenBlob },
  options: DeliveryOptions,
): Response {
  try {
    const headers = describe(request, row, options);
    if (isUnchanged(request, headers)) return closed(blob, null, { status: 304, headers });
    const range = wantedRange(request, headers, blob.size);
    const { start, end } = range ?? { start: 0, end: blob.size };
    headers.set("content-length", String(end - start));
    if (range) headers.set("content-range", `bytes ${start}-${end - 1}/${blob.size}`);
    const status = range ? 206 : 200;
    if (request.method === "HEAD") return closed(blob, null, { status, headers });
    return new Response(streamOf(blob.file, start, end), { status, headers });
  } catch (error) {
    blob.file.close();
    throw error;
  }
}

function closed(blob: OpenBlob, body: null, init: ResponseInit): Response {
  const response = new Response(body, init);
  blob.file.close();
  return response;
}

function describe(request: Request, row: ObjectRow, options: DeliveryOptions): Headers {
  const { metadata } = row;
  const modified = new Date(metadata?.lastModified ?? row.updated_at);
  const headers = new Headers({
    "accept-ranges": "bytes",
    "content-type": safeType(metadata?.mimetype),
    "last-modified": modified.toUTCString(),
    "cache-control": cacheControl(metadata?.cacheControl ?? "no-cache", options),
    "x-content-type-options": "nosniff",
  });
  if (metadata?.eTag) headers.set("etag", metadata.eTag);
  if (metadata?.contentEncoding) headers.set("content-encoding", metadata.contentEncoding);
  if (options.expiresAt !== undefined) {
    headers.set("expires", new Date(options.expiresAt * 1000).toUTCString());
  } else if (!options.shared) headers.set("vary", "authorization, apikey");
  const download = new URL(request.url).searchParams.get("download");
  if (download !== null) headers.set("content-disposition", disposition(download));
  return headers;
}

/** A page from a bucket would run with the rights of this address: it is shown as text. */
function safeType(mimetype = "application/octet-stream"): string {
  return /\bhtml\b/i.test(mimetype) ? "text/plain" : mimetype;
}

/** What the uploader asked for, but nothing that lets shared caches keep a private object. */
function cacheControl(wanted: string, { shared, expiresAt }: DeliveryOptions): string {
  if (shared) return wanted;
  // With a signed URL `Expires` says how long, and max-age would overrule it.
  const unfit = expiresAt === undefined
    ? /^(public|private|s-maxage)\b/i
    : /^(public|private|s-maxage|max-age)\b/i;
  const kept = wanted.split(",").map((directive) => directive.trim())
    .filter((directive) => directive && !unfit.test(directive));
  return ["private", ...kept].join(", ");
}

function disposition(fileName: string): string {
  if (fileName === "") return "attachment;";
  const encoded = encodeURIComponent(fileName.toWellFormed());
  return `attachment; filename=${encoded}; filename*=UTF-8''${encoded};`;
}

function isUnchanged(request: Request, headers: Headers): boolean {
  const tags = request.headers.get("if-none-match");
  if (tags !== null) {
    const ours = headers.get("etag");
    return tags.split(",").some((tag) => tag.trim() === "*" || sameTag(tag, ours));
  }
  const since = request.headers.get("if-modified-since");
  return since !== null && Date.parse(since) >= Date.parse(headers.get("last-modified") ?? "");
}

function sameTag(tag: string, ours: string | null): boolean {
  return ours !== null && tag.trim().replace(/^W\//, "") === ours;
}

/**
 * The range that a request asks for, `end` excluded; undefined for the whole. Several ranges at
 * once and what is not understood count as the whole, as RFC 9110 allows.
 */
function wantedRange(request: Request, headers: Headers, size: number) {
  const condition = request.headers.get("if-range");
  const current = [headers.get("etag"), headers.get("last-modified")];
  if (condition !== null && !current.includes(condition)) return undefined;
  const match = /^bytes=(\d*)-(\d*)$/.exec(request.headers.get("range")?.trim() ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return undefined;
  const [first, last] = [match[1], match[2]].map((text) => text ? Number(text) : undefined);
  if (first === undefined) {
    const start = Math.max(0, size - last!);
    if (start >= size) throw rangeNotSatisfiable();
    return { start, end: size };
  }
  if (last !== undefined && last < first) return undefined;
  if (first >= size) throw rangeNotSatisfiable();
  return { start: first, end: Math.min(size, (last ?? size) + 1) };
}

/** Bytes `start` to `end` (excluded) of a file, which is closed when they are read or unwanted. */
function streamOf(file: Deno.FsFile, start: number, end: number): ReadableStream<Uint8Array> {
  let left = end - start;
  return new ReadableStream({
    async start() {
      if (start > 0) await file.seek(start, Deno.SeekMode.Start);
    },
    async pull(controller) {
      const chunk = new Uint8Array(Math.min(left, CHUNK_BYTES));
      const read = left === 0 ? null : await file.read(chunk);
      if (read === null) {
        file.close();
        return left === 0
          ? controller.close()
          : controller.error(new Error("The file is shorter than it was"));
      }
      left -= read;
      controller.enqueue(chunk.subarray(0, read));
    },
    cancel() {
      file.close();
    },
  }, { highWaterMark: 1 });
}
