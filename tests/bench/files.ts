// Encryption of files: 50 MB through the client's streams against WebCrypto on the same bytes, and the
// memory that files of different lengths take.

import { decryptStream, encryptStream, importKey } from "../../clients/blf1.ts";
import { type BenchResult, measure } from "./harness.ts";

const MB = 1_000_000;
const FILE_BYTES = 50 * MB;
/** Pieces as a file or a response gives them. */
const PIECE_BYTES = 64 * 1024;
const RECORD_ID = "0b5f6f1e-6f0e-4d43-9d6a-0f3f3f3f3f3f";

/** Runs every bench of the domain. */
export async function benchFiles(say: (line: string) => void): Promise<BenchResult[]> {
  const key = await importKey(crypto.getRandomValues(new Uint8Array(32)));
  const file = new Uint8Array(FILE_BYTES);
  // One call gives no more than this.
  for (let at = 0; at < FILE_BYTES; at += 65_536) {
    crypto.getRandomValues(file.subarray(at, at + 65_536));
  }
  const iv = () => crypto.getRandomValues(new Uint8Array(12));
  const product = async () => {
    const opened = piecesOf(file).pipeThrough(encryptStream(key, RECORD_ID))
      .pipeThrough(decryptStream(key, RECORD_ID));
    let length = 0;
    for await (const part of opened) length += part.length;
    if (length !== FILE_BYTES) throw new Error(`${length} bytes came back`);
  };

  say("against one call for the whole file");
  const atOnce = await measure({
    name: "encrypt and decrypt 50 MB by streams, against AES-GCM in one call",
    atMost: 1.5,
    turns: 1,
    product,
    plain: async () => {
      const parameters = { name: "AES-GCM", iv: iv() };
      const sealed = await crypto.subtle.encrypt(parameters, key, file);
      await crypto.subtle.decrypt(parameters, key, sealed);
    },
  });
  say("against one call for each 64 KiB");
  const byChunks = await measure({
    name: "encrypt and decrypt 50 MB by streams, against AES-GCM call by call of 64 KiB",
    atMost: 1.5,
    turns: 1,
    product,
    plain: async () => {
      for (let at = 0; at < FILE_BYTES; at += 65_536) {
        const parameters = { name: "AES-GCM", iv: iv() };
        const chunk = file.subarray(at, at + 65_536);
        const sealed = await crypto.subtle.encrypt(parameters, key, chunk);
        await crypto.subtle.decrypt(parameters, key, sealed);
      }
    },
  });
  say("memory of 50 MB and of 500 MB");
  return [atOnce, byChunks, await benchMemory()];
}

function piecesOf(file: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= file.length) return controller.close();
      controller.enqueue(file.subarray(at, at += PIECE_BYTES));
    },
  }, { highWaterMark: 0 });
}

/**
 * Most memory that a process of its own ever had, by length of the file that it passed through both
 * streams, its garbage collected every 50 frames. Constant memory means that ten times the length takes
 * about as much.
 */
async function benchMemory(): Promise<BenchResult> {
  const [small, large] = [await peakOf(50 * MB), await peakOf(500 * MB)];
  const ratio = large.peak / small.peak;
  const mb = (bytes: number) => `${Math.round(bytes / MB)} MB`;
  return {
    name:
      "peak memory of a process that encrypts and decrypts 500 MB, against 50 MB, without garbage",
    ratio: Math.round(ratio * 1000) / 1000,
    goal: "<= 1.5",
    met: ratio <= 1.5,
    rounds: 1,
    spread: null,
    figures:
      `${mb(large.peak)} against ${mb(small.peak)}; ${mb(large.start)} before the file came; ` +
      `in use ${mb(large.in_use)} against ${mb(small.in_use)}`,
  };
}

interface Memory {
  start: number;
  peak: number;
  in_use: number;
}

async function peakOf(bytes: number): Promise<Memory> {
  const script = new URL("files_memory.ts", import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--v8-flags=--expose-gc", script, String(bytes)],
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
