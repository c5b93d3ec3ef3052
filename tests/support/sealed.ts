// Files as they lie in Storage: sealed with the key that the API gave, and opened again.

import { decryptStream, encryptStream, importKey } from "../../clients/blf1.ts";
import { sha256 } from "../fixtures/files.ts";

/** What `upload-url` and `download-url` say of the encryption. */
export interface Encryption {
  format: string;
  /** Base64. */
  key: string;
  key_id: string;
}

/** A file as a client uploads it, and the body with which it completes the upload. */
export interface Sealed {
  bytes: Uint8Array<ArrayBuffer>;
  done: { ciphertext_sha256: string };
}

/** Seals a file for a record. */
export async function seal(
  file: Uint8Array<ArrayBuffer>,
  { key }: Pick<Encryption, "key">,
  recordId: string,
): Promise<Sealed> {
  const imported = await importKey(Uint8Array.fromBase64(key));
  const stream = new Blob([file]).stream().pipeThrough(encryptStream(imported, recordId));
  const bytes = await new Response(stream).bytes();
  return { bytes, done: { ciphertext_sha256: await sha256(bytes) } };
}

/** Opens what lies in Storage; rejects what is not, whole, the file of the record. */
export async function unseal(
  sealed: Uint8Array<ArrayBuffer>,
  { key }: Pick<Encryption, "key">,
  recordId: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const imported = await importKey(Uint8Array.fromBase64(key));
  const stream = new Blob([sealed]).stream().pipeThrough(decryptStream(imported, recordId));
  return await new Response(stream).bytes();
}

/** The ciphertext as a body for Storage, which is not told what is inside. */
export function asUpload({ bytes }: Sealed): Blob {
  return new Blob([bytes], { type: "application/octet-stream" });
}
