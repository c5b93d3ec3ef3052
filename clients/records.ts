// Files of medical records for browsers and Deno: encrypted on this device before they leave it, and
// decrypted here after they come back. Works with any supabase-js client that is signed in; needs
// WebCrypto and Web Streams, and nothing else.
//
//   const file = await uploadRecordFile(supabase, recordId, input.files[0]);
//   const { stream } = await downloadRecordFile(supabase, recordId);
//   const blob = await new Response(stream).blob();

import { decryptStream, encryptStream, importKey } from "./blf1.ts";
import { Sha256 } from "./sha256.ts";

export { decryptStream, encryptStream, FormatError, importKey } from "./blf1.ts";

/** What these functions use of a supabase-js client. */
export interface RecordsClient {
  functions: {
    invoke(
      name: string,
      options: { body?: Record<string, unknown>; method?: "POST" | "DELETE" },
    ): Promise<{ data: unknown; error: unknown }>;
  };
  storage: {
    from(bucket: string): {
      uploadToSignedUrl(
        path: string,
        token: string,
        body: Blob,
        options: { contentType: string },
      ): Promise<{ error: Error | null }>;
    };
  };
}

/** A file of a record as the product knows it, all of it before encryption. */
export interface RecordFile {
  file_name: string;
  /** Media type. */
  file_type: string;
  /** Bytes. */
  file_size: number;
  /** 64 lower-case hexadecimal digits. */
  file_sha256: string;
}

/** A file that is being downloaded. */
export interface DownloadedFile extends RecordFile {
  /**
   * The plaintext, each part of it authentic. It ends well only when the whole file was as it was
   * uploaded; when it fails, with {@link FormatError} or {@link RecordFileError}, throw away what came.
   */
  stream: ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** A step that was refused or did not work. */
export class RecordFileError extends Error {
  override readonly name = "RecordFileError";

  /** @param code Code of the API, for example `not_found`; `storage` or `file_mismatch` from here. */
  constructor(readonly code: string, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

const BUCKET = "medical-records";
/** Storage is not told what is inside. */
const CIPHERTEXT_TYPE = "application/octet-stream";

/**
 * Encrypts a file and uploads it as the file of a record that has none.
 *
 * The plaintext is read twice, once for its digest and once to encrypt it, in pieces. The ciphertext is
 * gathered in a Blob, which browsers keep on disk when it is large and Deno keeps in memory: an upload
 * needs a body whose length is known.
 *
 * @param file Its name and type are announced unless `as` says others.
 * @throws {RecordFileError} With the code of the API.
 */
export async function uploadRecordFile(
  client: RecordsClient,
  recordId: string,
  file: Blob & { name?: string },
  as: { file_name?: string; file_type?: string } = {},
): Promise<RecordFile & { record_id: string }> {
  const announced = {
    file_name: as.file_name ?? file.name ?? "file",
    file_type: as.file_type ?? file.type.split(";")[0]?.trim() ?? "",
    file_size: file.size,
    file_sha256: await sha256Of(file.stream()),
  };
  const address = await invoke(client, `${recordId}/upload-url`, announced);
  const key = await keyOf(address);
  const digest = new Sha256();
  const sealed = file.stream()
    .pipeThrough(encryptStream(key, recordId))
    .pipeThrough(tap((chunk) => digest.update(chunk)));
  const body = await new Response(sealed, { headers: { "content-type": CIPHERTEXT_TYPE } }).blob();
  const { error } = await client.storage.from(BUCKET)
    .uploadToSignedUrl(text(address, "path"), text(address, "token"), body, {
      contentType: CIPHERTEXT_TYPE,
    });
  if (error) throw new RecordFileError("storage", "The upload failed", { cause: error });
  const ciphertext_sha256 = digest.hex();
  const upload_id = text(address, "upload_id");
  const taken = await invoke(client, `${recordId}/complete`, { ciphertext_sha256, upload_id });
  return { record_id: text(taken, "record_id"), ...fileOf(taken) };
}

/**
 * Downloads the file of a record and decrypts it while it comes, with constant memory. The download is
 * in the patient's access log from the moment this is called.
 *
 * @throws {RecordFileError} With the code of the API.
 */
export async function downloadRecordFile(
  client: RecordsClient,
  recordId: string,
): Promise<DownloadedFile> {
  const address = await invoke(client, `${recordId}/download-url`, {});
  const file = fileOf(address);
  const key = await keyOf(address);
  const response = await fetch(text(address, "url"));
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw new RecordFileError("storage", `The download failed with status ${response.status}`);
  }
  const stream = response.body.pipeThrough(decryptStream(key, recordId)).pipeThrough(checked(file));
  return { ...file, stream };
}

/** Erases the file of a record for ever; for the patient who uploaded it. */
export async function eraseRecordFile(client: RecordsClient, recordId: string): Promise<void> {
  await invoke(client, `${recordId}/file`, undefined, "DELETE");
}

type Answer = Record<string, unknown>;

/** Calls the function `records`; gives `data` of its answer. */
async function invoke(
  client: RecordsClient,
  path: string,
  body: Record<string, unknown> | undefined,
  method: "POST" | "DELETE" = "POST",
): Promise<Answer> {
  const { data, error } = await client.functions.invoke(`records/${path}`, { body, method });
  if (!error) return object(data, "data");
  // supabase-js puts the response there when there was one.
  const response = isObject(error) ? error.context : undefined;
  const answer = response instanceof Response ? await response.json().catch(() => null) : null;
  const { code, message } = isObject(answer) && isObject(answer.error) ? answer.error : {};
  throw new RecordFileError(
    typeof code === "string" ? code : "unavailable",
    typeof message === "string" ? message : "The request failed",
    { cause: error },
  );
}

function isObject(value: unknown): value is Answer {
  return typeof value === "object" && value !== null;
}

function object(answer: unknown, name: string): Answer {
  const value = isObject(answer) ? answer[name] : undefined;
  if (!isObject(value)) throw malformed(name);
  return value;
}

function text(answer: Answer, name: string): string {
  const value = answer[name];
  if (typeof value !== "string") throw malformed(name);
  return value;
}

function fileOf(answer: Answer): RecordFile {
  const { file_size } = answer;
  if (typeof file_size !== "number") throw malformed("file_size");
  const [file_name, file_type] = [text(answer, "file_name"), text(answer, "file_type")];
  return { file_name, file_type, file_size, file_sha256: text(answer, "file_sha256") };
}

function malformed(name: string): RecordFileError {
  return new RecordFileError("unavailable", `The answer has no proper ${name}`);
}

async function keyOf(answer: Answer): Promise<CryptoKey> {
  const encryption = object(answer, "encryption");
  if (encryption.format !== "blf1") {
    throw new RecordFileError("unsupported_format", "This client is too old for the file's format");
  }
  const bytes = Uint8Array.from(atob(text(encryption, "key")), (letter) => letter.charCodeAt(0));
  try {
    return await importKey(bytes);
  } finally {
    bytes.fill(0);
  }
}

async function sha256Of(stream: ReadableStream<Uint8Array>): Promise<string> {
  const digest = new Sha256();
  const reader = stream.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    digest.update(part.value);
  }
  return digest.hex();
}

/** Lets everything through, looking at it. */
function tap(
  look: (chunk: Uint8Array<ArrayBuffer>) => void,
  end: () => void = () => {},
): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  return new TransformStream({
    transform(chunk, controller) {
      look(chunk);
      controller.enqueue(chunk);
    },
    flush: end,
  });
}

/** Lets a file through, and fails at its end when it is not the one of the record. */
function checked({ file_size, file_sha256 }: RecordFile) {
  const digest = new Sha256();
  let size = 0;
  return tap((chunk) => {
    size += chunk.length;
    digest.update(chunk);
  }, () => {
    if (size !== file_size || digest.hex() !== file_sha256) {
      throw new RecordFileError("file_mismatch", "The file is not the one of the record");
    }
  });
}
