// Everything that Storage refuses, in the words, codes and statuses of hosted Supabase: the body
// carries the real status as text, and the HTTP status is 400 for all but a few of them.

import postgres from "postgres";

/** A refusal that the client can act on; anything else thrown becomes a 500 without details. */
export class StorageError extends Error {
  override readonly name = "StorageError";

  /**
   * @param code Stable name, for example `NoSuchKey`.
   * @param statusCode The status that the body carries.
   * @param options.error Older name of the code, where clients still read it.
   * @param options.httpStatus Status of the response, where it is not 400.
   */
  constructor(
    readonly code: string,
    readonly statusCode: number,
    message: string,
    readonly options: { error?: string; httpStatus?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
  }

  /** The response for it. */
  toResponse(): Response {
    const { code, statusCode, message, options } = this;
    const body = { statusCode: String(statusCode), code, error: options.error ?? code, message };
    return Response.json(body, {
      status: options.httpStatus ?? 400,
      headers: { "cache-control": "no-store" },
    });
  }
}

export const noSuchBucket = () =>
  new StorageError("NoSuchBucket", 404, "Bucket not found", { error: "Bucket not found" });

export const noSuchKey = () =>
  new StorageError("NoSuchKey", 404, "Object not found", { error: "not_found" });

export const invalidKey = (key: string) =>
  new StorageError("InvalidKey", 400, `Invalid key: ${key}`);

export const invalidBucketName = () =>
  new StorageError("InvalidBucketName", 400, "Bucket name invalid", { error: "Invalid Input" });

export const bucketNotEmpty = () =>
  new StorageError("ResourceNotEmpty", 409, "The bucket you tried to delete is not empty");

export const alreadyExists = (code: "KeyAlreadyExists" | "BucketAlreadyExists") =>
  new StorageError(code, 409, "The resource already exists", { error: "Duplicate" });

export const tooLarge = (entity = "object") =>
  new StorageError("EntityTooLarge", 413, `The ${entity} exceeded the maximum allowed size`, {
    error: "Payload too large",
  });

export const invalidMimeType = (mimeType: string) =>
  new StorageError("InvalidMimeType", 415, `mime type ${mimeType} is not supported`, {
    error: "invalid_mime_type",
  });

export const invalidRequest = (message: string) =>
  new StorageError("InvalidRequest", 400, message, { error: "Error" });

/** The client went away, or sent less than it announced. */
export const brokenOff = () => invalidRequest("The upload ended before it was complete");

export const noContent = () => new StorageError("InvalidRequest", 400, "No content provided");

export const rangeNotSatisfiable = () =>
  new StorageError("InvalidRange", 416, "The requested range cannot be satisfied", {
    error: "invalid_range",
    httpStatus: 416,
  });

export const accessDenied = (message: string) =>
  new StorageError("AccessDenied", 403, message, { error: "Unauthorized" });

/** Somebody else changes the same object. */
export const locked = () => new StorageError("ResourceLocked", 423, "The resource is locked");

/** The API key is refused: hosted Supabase's gateway says so before Storage is asked. */
export const invalidApiKey = (message = "Invalid API key") =>
  new StorageError("InvalidApiKey", 401, message, {
    error: "Unauthorized",
    httpStatus: 401,
  });

export const invalidJwt = (message: string) => new StorageError("InvalidJWT", 400, message);

export const invalidSignature = (message = "Invalid signature") =>
  new StorageError("InvalidSignature", 400, message);

/** What hosted Supabase has and the embedded Storage lacks. */
export const notSupported = (feature: string) =>
  new StorageError("NotSupported", 501, `The embedded Storage has no ${feature}`, {
    httpStatus: 501,
  });

/** Turns what the database refused into the refusal that hosted Supabase answers. */
export function fromPostgres(error: postgres.PostgresError): StorageError {
  switch (error.code) {
    case "42501":
      return accessDenied(
        error.message.includes("row-level security")
          ? "new row violates row-level security policy"
          : error.message,
      );
    case "23505":
      return new StorageError("ResourceAlreadyExists", 409, "The resource already exists", {
        error: "Duplicate",
      });
    case "23503":
      return new StorageError("InvalidRequest", 404, "The related resource does not exist");
    case "40P01":
      return locked();
    case "55P03":
      return new StorageError("LockTimeout", 503, "acquiring lock timeout", {
        error: "acquiring_lock_timeout",
      });
    case "57014":
      return new StorageError("DatabaseTimeout", 544, "The connection to the database timed out", {
        httpStatus: 544,
      });
    case "22021": // text, or JSON, with a letter that the database has not
    case "22P05":
    case "22P02":
      return new StorageError("InvalidParameter", 400, error.message);
    default:
      return new StorageError("DatabaseError", 500, `database error, code: ${error.code}`, {
        httpStatus: 500,
        cause: error,
      });
  }
}

/** Renders whatever was thrown. */
export function toResponse(thrown: unknown): Response {
  if (thrown instanceof StorageError) {
    if (thrown.statusCode === 500) logFault("A statement failed", thrown.cause);
    return thrown.toResponse();
  }
  logFault("A request failed", thrown);
  return new StorageError("InternalError", 500, "Internal Server Error", {
    error: "Internal",
    httpStatus: 500,
  }).toResponse();
}

/** Logs where a fault came from, without the values that a database error carries. */
export function logFault(what: string, thrown: unknown): void {
  console.error(`Storage: ${what}: ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
}
