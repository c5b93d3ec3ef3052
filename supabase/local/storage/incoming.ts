// What a client uploads: the bytes and what it says about them, from a raw body or from the form
// that storage-js makes of a Blob. The bytes are a stream; nobody holds the whole of it.

import { z } from "zod";
import { brokenOff, invalidRequest, tooLarge } from "./errors.ts";
import { FORM_OVERHEAD_BYTES, MAX_METADATA_BYTES, openForm } from "./form.ts";

/** What a client says about the bytes it sends. */
export interface Description {
  /** Value of the Cache-Control header of downloads. */
  cacheControl: string;
  /** Encoding that the stored bytes have, for example `gzip`. */
  contentEncoding?: string;
  /** Free data of the client; undefined when it gave none. */
  userMetadata?: UserMetadata;
}

/** How many bytes were announced: exactly, or, for a form, about as many at most. */
export interface DeclaredSize {
  size: number;
  exact: boolean;
}

/** An upload whose bytes have not been read yet; disposing of it stops the request. */
export interface Incoming extends Disposable {
  mimeType: string;
  /** Undefined when nobody said. */
  declared?: DeclaredSize;
  body: AsyncIterable<Uint8Array>;
  /** Complete once the body has been read: a form may name them after the file. */
  describe: () => Description;
}

const JsonObject = z.record(z.string(), z.json());

/** Free data of the client. */
export type UserMetadata = z.infer<typeof JsonObject>;

/** Starts reading an upload. */
export async function readUpload(request: Request): Promise<Incoming> {
  const contentType = request.headers.get("content-type") ?? "";
  return /^multipart\/form-data\b/i.test(contentType)
    ? await readForm(request, contentType)
    : readRaw(request, contentType);
}

/** Throws if more than `limitBytes` are announced; nothing has been read then. */
export function checkDeclaredSize(declared: DeclaredSize | undefined, limitBytes: number): void {
  if (!declared) return;
  const slack = declared.exact ? 0 : FORM_OVERHEAD_BYTES;
  if (declared.size > limitBytes + slack) throw tooLarge();
}

function readRaw(request: Request, contentType: string): Incoming {
  const size = declaredLength(request);
  const userMetadata = parseMetadata(decodeBase64(request.headers.get("x-metadata")));
  return {
    mimeType: checkHeaderText(contentType || "application/octet-stream", "content-type"),
    declared: size === undefined ? undefined : { size, exact: true },
    body: exactly(size, request.body ?? emptyBody()),
    describe: () => ({
      // The bytes are stored as they come: a Content-Encoding of the request is not kept.
      cacheControl: request.headers.get("cache-control") ?? "no-cache",
      userMetadata,
    }),
    [Symbol.dispose]: () => {}, // what nobody reads of a raw body, the server drops
  };
}

async function readForm(request: Request, contentType: string): Promise<Incoming> {
  const form = await openForm(request.body, contentType);
  const { fields } = form;
  try {
    const size = declaredLength(request);
    return {
      mimeType: checkHeaderText(fields.get("contentType") ?? form.mimeType, "contentType"),
      declared: size === undefined ? undefined : { size, exact: false },
      body: form.bytes(),
      describe: () => ({
        cacheControl: checkHeaderText(
          fields.has("cacheControl") ? `max-age=${fields.get("cacheControl")}` : "no-cache",
          "cacheControl",
        ),
        contentEncoding: fields.has("contentEncoding")
          ? checkHeaderText(fields.get("contentEncoding") ?? "", "contentEncoding")
          : undefined,
        userMetadata: parseMetadata(fields.get("metadata") ?? fields.get("userMetadata")),
      }),
      [Symbol.dispose]: form.close,
    };
  } catch (error) {
    form.close();
    throw error;
  }
}

/** The body, unless it ends before all announced bytes have come. */
async function* exactly(size: number | undefined, body: ReadableStream<Uint8Array>) {
  let seen = 0;
  try {
    for await (const chunk of body) {
      seen += chunk.length;
      yield chunk;
    }
  } catch {
    throw brokenOff();
  }
  if (size !== undefined && seen !== size) throw brokenOff();
}

function emptyBody(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.close() });
}

function declaredLength(request: Request): number | undefined {
  const header = request.headers.get("content-length");
  return header !== null && /^\d+$/.test(header) ? Number(header) : undefined;
}

export function decodeBase64(header: string | null): string | undefined {
  if (header === null) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.fromBase64(header));
  } catch {
    return undefined;
  }
}

/** Metadata that is no JSON object counts as none, as on hosted Supabase. */
export function parseMetadata(text: string | undefined): UserMetadata | undefined {
  if (text === undefined) return undefined;
  if (text.length > MAX_METADATA_BYTES) throw tooLarge("user_metadata");
  try {
    return JsonObject.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Throws unless `text` can become a header of the download. */
function checkHeaderText(text: string, name: string): string {
  if (/^[\x20-\x7e]{1,255}$/.test(text)) return text;
  throw invalidRequest(`Invalid value of ${name}`);
}
