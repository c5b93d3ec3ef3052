// Passes so many bytes through both streams of the client, and prints as JSON the resident memory of
// this process before and the most of it after that, and the most that is in use. Run by files.ts in a
// process of its own, with --expose-gc: WebCrypto gives every frame in a buffer of its own, and V8 lets
// tens of megabytes of such garbage lie while nothing presses, which says nothing of what a stream
// holds on to.

import { decryptStream, encryptStream, importKey } from "../../clients/blf1.ts";

declare const gc: () => void;

const PIECE_BYTES = 64 * 1024;
/** Looking costs more than a frame, so not at each. */
const FRAMES_PER_LOOK = 50;

const size = Number(Deno.args[0]);
const recordId = crypto.randomUUID();
const key = await importKey(crypto.getRandomValues(new Uint8Array(32)));
const piece = crypto.getRandomValues(new Uint8Array(PIECE_BYTES));
let given = 0;
const source = new ReadableStream<Uint8Array>({
  pull(controller) {
    if (given >= size) return controller.close();
    const part = piece.subarray(0, Math.min(PIECE_BYTES, size - given));
    given += part.length;
    controller.enqueue(part);
  },
}, { highWaterMark: 0 });

const start = Deno.memoryUsage().rss;
let [peak, in_use, frames, length] = [start, 0, 0, 0];
const opened = source.pipeThrough(encryptStream(key, recordId))
  .pipeThrough(decryptStream(key, recordId));
for await (const part of opened) {
  length += part.length;
  if (frames++ % FRAMES_PER_LOOK > 0) continue;
  gc();
  const { rss, heapUsed, external } = Deno.memoryUsage();
  peak = Math.max(peak, rss);
  in_use = Math.max(in_use, heapUsed + external);
}
if (length !== size) throw new Error(`${length} bytes came back`);
console.log(JSON.stringify({ start, peak, in_use }));
