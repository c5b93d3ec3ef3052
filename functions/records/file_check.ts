// Whether an uploaded file is the one that was announced: how it was uploaded, its ciphertext by length
// and digest, and what is inside by size, digest and type, in one pass that holds a few frames of it at
// a time.

import { createHash } from "node:crypto";
import { decryptStream, FormatError, sealedSize } from "../../clients/blf1.ts";
import { checkType, type FileType } from "./file_type.ts";

/** What a file was announced to be. */
export interface DeclaredFile {
  file_type: FileType;
  /** Bytes before encryption. */
  file_size: number;
  /** Before encryption; 64 lower-case hexadecimal digits. */
  file_sha256: string;
  /** Of what lies in Storage; 64 lower-case hexadecimal digits. */
  ciphertext_sha256: string;
}

/** Which announcements may turn out untrue; `encryption`: it cannot be opened with the file's key. */
export type FileDifference =
  | "file_size"
  | "ciphertext_sha256"
  | "encryption"
  | "file_sha256"
  | "file_type"
  | "content_type"
  | "content_encoding";

/** Headers with which Storage keeps a file, and hands it out. */
export interface ObjectHeaders {
  content_type: string | null;
  content_encoding: string | null;
}

/** What Storage is told of every file. */
const CIPHERTEXT_TYPE = "application/octet-stream";

/**
 * Names what is wrong with the headers of an upload. Downloads repeat them: another type would tell
 * what is inside, and an encoding be undone, whatever the bytes are.
 */
export function differencesOfObject(
  { content_type, content_encoding }: ObjectHeaders,
): FileDifference[] {
  const differences: FileDifference[] = [];
  // A parameter does not make it another type.
  const essence = content_type?.split(";")[0]?.trim().toLowerCase();
  if (essence !== CIPHERTEXT_TYPE) differences.push("content_type");
  if (content_encoding) differences.push("content_encoding");
  return differences;
}

/**
 * Reads a file to its end, or to where it is longer than announced, and names what differs. Of a file
 * that is too long, or cannot be opened, nothing else is known.
 *
 * @param sealed The object in Storage.
 * @param key Key of the file.
 */
export async function findDifferences(
  sealed: AsyncIterable<Uint8Array>,
  declared: DeclaredFile,
  key: CryptoKey,
  recordId: string,
): Promise<FileDifference[]> {
  const expectedSize = sealedSize(declared.file_size);
  // WebCrypto wants the whole file at once.
  const hash = createHash("sha256");
  const opening = new Opening(declared, key, recordId);
  let size = 0;
  try {
    for await (const chunk of sealed) {
      size += chunk.length;
      if (size > expectedSize) return ["file_size"];
      hash.update(chunk);
      await opening.push(chunk);
    }
    const differences: FileDifference[] = [];
    if (size !== expectedSize) differences.push("file_size");
    if (hash.digest("hex") !== declared.ciphertext_sha256) differences.push("ciphertext_sha256");
    return [...differences, ...await opening.end()];
  } finally {
    await opening.stop();
  }
}

/** The plaintext, frame by frame, as it comes out of the ciphertext that is pushed in. */
class Opening {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #outcome: Promise<FileDifference[]>;
  #failed = false;

  constructor(declared: DeclaredFile, key: CryptoKey, recordId: string) {
    const { readable, writable } = decryptStream(key, recordId);
    this.#writer = writable.getWriter();
    // Each write answers for itself.
    this.#writer.closed.catch(() => {});
    this.#outcome = readPlaintext(readable, declared);
    this.#outcome.catch(() => {});
  }

  async push(chunk: Uint8Array): Promise<void> {
    if (this.#failed) return;
    try {
      await this.#writer.write(chunk);
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  async end(): Promise<FileDifference[]> {
    try {
      if (!this.#failed) await this.#writer.close();
      return await this.#outcome;
    } catch (thrown) {
      this.#fail(thrown);
      return ["encryption"];
    }
  }

  /** Ends it early; fine when it has ended. */
  async stop(): Promise<void> {
    await this.#writer.abort().catch(() => {});
  }

  #fail(thrown: unknown): void {
    if (!(thrown instanceof FormatError)) throw thrown;
    this.#failed = true;
  }
}

async function readPlaintext(
  plaintext: AsyncIterable<Uint8Array>,
  declared: DeclaredFile,
): Promise<FileDifference[]> {
  const hash = createHash("sha256");
  const type = checkType(declared.file_type);
  for await (const frame of plaintext) {
    hash.update(frame);
    type.push(frame);
  }
  const differences: FileDifference[] = [];
  if (hash.digest("hex") !== declared.file_sha256) differences.push("file_sha256");
  if (!await type.matches()) differences.push("file_type");
  return differences;
}
