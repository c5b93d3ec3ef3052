// Whether an uploaded file is the one that was announced: how it was uploaded, then size, digest and
// type, in one pass that holds one piece of it at a time.

import { createHash } from "node:crypto";
import { checkType, type FileType } from "./file_type.ts";

/** What a file was announced to be. */
export interface DeclaredFile {
  file_type: FileType;
  /** Bytes. */
  file_size: number;
  /** 64 lower-case hexadecimal digits. */
  file_sha256: string;
}

/** Which announcements may turn out untrue. */
export type FileDifference =
  | "file_size"
  | "file_sha256"
  | "file_type"
  | "content_type"
  | "content_encoding";

/** Headers with which Storage keeps a file, and hands it out. */
export interface ObjectHeaders {
  content_type: string | null;
  content_encoding: string | null;
}

/**
 * Names what is wrong with the headers of an upload. Downloads repeat them: another type would be
 * taken for what it says, and an encoding be undone, whatever the bytes are.
 */
export function differencesOfObject(
  { content_type, content_encoding }: ObjectHeaders,
  file_type: FileType,
): FileDifference[] {
  const differences: FileDifference[] = [];
  // A parameter, for example a charset, does not make it another type.
  const essence = content_type?.split(";")[0]?.trim().toLowerCase();
  if (essence !== file_type) differences.push("content_type");
  if (content_encoding) differences.push("content_encoding");
  return differences;
}

/**
 * Reads a file to its end, or to where it is longer than announced, and names what differs. A file
 * that is too long is read no further, so nothing else is known of it.
 */
export async function findDifferences(
  file: AsyncIterable<Uint8Array>,
  declared: DeclaredFile,
): Promise<FileDifference[]> {
  // WebCrypto wants the whole file at once.
  const hash = createHash("sha256");
  const type = checkType(declared.file_type);
  let size = 0;
  for await (const chunk of file) {
    size += chunk.length;
    if (size > declared.file_size) return ["file_size"];
    hash.update(chunk);
    type.push(chunk);
  }
  const differences: FileDifference[] = [];
  if (size !== declared.file_size) differences.push("file_size");
  if (hash.digest("hex") !== declared.file_sha256) differences.push("file_sha256");
  if (!await type.matches()) differences.push("file_type");
  return differences;
}
