// Files in one private bucket of Supabase Storage, reached with the secret key. Who may have which
// file is decided in the database before anything here is called.

import { StorageApiError, StorageClient, StorageUnknownError } from "@supabase/storage-js";
import { AppError } from "./errors.ts";
import { DEFAULT_POLICY } from "./fetch.ts";

/** The bucket, as far as functions use it. Paths are those within it. */
export interface ObjectStore {
  /** Makes an address to which the object may be uploaded once. */
  signUpload(path: string): Promise<{ url: string; token: string }>;
  /** Makes an address that gives the object as a download named `fileName`, for some seconds. */
  signDownload(path: string, fileName: string, seconds: number): Promise<string>;
  /** Opens the object for reading; null when there is none. */
  open(path: string): Promise<ReadableStream<Uint8Array> | null>;
  /** Removes up to 1,000 objects; fine when some or all are not there. */
  remove(paths: string[]): Promise<void>;
}

interface StoreSettings {
  /** Address of the project as this process reaches it. */
  url: string;
  /** Address of the project as clients reach it; signed addresses begin with it. */
  publicUrl: string;
  secretKey: string;
  bucket: string;
  fetch: typeof fetch;
}

/** Opens a bucket. Every method throws `unavailable` when Storage is down. */
export function createObjectStore(settings: StoreSettings): ObjectStore {
  const { url, publicUrl, secretKey, bucket } = settings;
  const files = new StorageClient(
    `${url}/storage/v1`,
    { apikey: secretKey, authorization: `Bearer ${secretKey}` },
    settings.fetch,
  ).from(bucket);
  const toPublic = (signed: string) => {
    const { pathname, search } = new URL(signed);
    return new URL(pathname + search, publicUrl);
  };
  return {
    async signUpload(path) {
      const { data, error } = await files.createSignedUploadUrl(path);
      if (error) throw toFailure(error);
      return { url: toPublic(data.signedUrl).href, token: data.token };
    },
    async signDownload(path, fileName, seconds) {
      const { data, error } = await files.createSignedUrl(path, seconds);
      if (error) throw toFailure(error);
      const signed = toPublic(data.signedUrl);
      // The client library's own option encodes the name twice.
      signed.searchParams.set("download", fileName);
      return signed.href;
    },
    async open(path) {
      const { data, error } = await files.download(path).asStream();
      if (error && isAbsent(error)) return null;
      if (error) throw toFailure(error);
      return data;
    },
    async remove(paths) {
      const { error } = await files.remove(paths);
      if (error && !isAbsent(error)) throw toFailure(error);
    },
  };
}

/** Storage says 404 in the status or, in older versions, in the body of a 400. */
function isAbsent(error: Error): boolean {
  return error instanceof StorageApiError && (error.status === 404 || error.statusCode === "404");
}

/** An answer of 4xx is a mistake of ours; everything else is Storage being down. */
function toFailure(error: Error): Error {
  if (error instanceof StorageApiError && error.status < 500) return error;
  return new AppError("unavailable", "File storage does not answer", {
    cause: error instanceof StorageUnknownError ? error.originalError : error,
    retryAfterSeconds: DEFAULT_POLICY.breakSeconds,
  });
}
