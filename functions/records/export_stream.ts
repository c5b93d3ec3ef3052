// A stream of text that is written while it is read: each write waits until the reader has taken it,
// a reader who leaves ends the writing, and a failure breaks the stream off instead of closing it.

/** How a stream is made from what writes it. */
export interface StreamOptions {
  /** How long a reader may take for one piece before the writing ends. */
  stallMs: number;
  /** Told of a failure that came after the first piece; not of a reader who left. */
  onFailure: (thrown: unknown) => void;
}

/**
 * Runs `produce` and gives what it writes as UTF-8. The stream ends only when `produce` has resolved;
 * when it rejects, whoever reads gets an error after the last piece.
 *
 * @returns The stream, as soon as its first piece is there.
 * @throws What `produce` threw before its first piece.
 */
export async function streamOf(
  produce: (write: (text: string) => Promise<void>) => Promise<void>,
  { stallMs, onFailure }: StreamOptions,
): Promise<ReadableStream<Uint8Array>> {
  const encoder = new TextEncoder();
  // Nothing is kept ready: a write resolves when the reader has asked for it.
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  let is_started = false;
  let has_reader = true;
  writer.closed.catch(() => has_reader = false);
  const first = Promise.withResolvers<void>();

  const run = async () => {
    try {
      await produce(async (text) => {
        is_started = true;
        first.resolve();
        await within(stallMs, writer.write(encoder.encode(text)));
      });
      first.resolve();
      await writer.close();
    } catch (thrown) {
      first.reject(thrown);
      if (is_started && has_reader) onFailure(thrown);
      // Servers print what breaks a stream; what was thrown may quote a row.
      await writer.abort(new Error("The stream broke off")).catch(() => {});
    }
  };
  run();
  await first.promise;
  return readable;
}

/** A reader who asked for more and did not take it. */
class StalledReaderError extends Error {
  override readonly name = "StalledReaderError";
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new StalledReaderError("The reader does not take what it asked for")),
    ms,
  );
  try {
    await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
