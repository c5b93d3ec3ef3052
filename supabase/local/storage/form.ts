// The form that storage-js makes of a Blob, read as it comes: fields, and one file whose bytes flow
// on to whoever wants them. Nothing but the fields is kept.

import { Busboy, type BusboyInstance } from "@fastify/busboy";
import { Readable } from "node:stream";
import type { ReadableStream as NodeStream } from "node:stream/web";
import { brokenOff, invalidRequest, noContent, StorageError, tooLarge } from "./errors.ts";

/** Largest user metadata, in bytes. */
export const MAX_METADATA_BYTES = 1024 * 1024;

/** What a form may hold beside the file, in bytes: user metadata, other fields and boundaries. */
export const FORM_OVERHEAD_BYTES = 2 * MAX_METADATA_BYTES;

/** A form whose file has begun. */
export interface OpenForm {
  /** Type of the file, without parameters. */
  mimeType: string;
  /** By name; complete when the bytes have been read, since fields may follow the file. */
  fields: Map<string, string>;
  /** The file's bytes; ends when the rest of the form has been read, too. */
  bytes: () => AsyncGenerator<Uint8Array>;
  /** Stops reading. */
  close: () => void;
}

/** Reads a form up to its file. */
export async function openForm(
  body: ReadableStream<Uint8Array> | null,
  contentType: string,
): Promise<OpenForm> {
  if (!body) throw noContent();
  const parser = createParser(contentType);
  const fields = new Map<string, string>();
  const found = Promise.withResolvers<{ file: Readable; mimeType: string }>();
  const done = Promise.withResolvers<void>();
  done.promise.catch(() => {}); // also when nobody gets as far as waiting for it
  let fileBytes = 0;

  // A form may have no end, and no file either: what is not the file's is counted.
  let otherBytes = 0;
  const counted = body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        otherBytes += chunk.length;
        if (otherBytes - fileBytes > FORM_OVERHEAD_BYTES) throw tooLarge("form");
        controller.enqueue(chunk);
      },
    }),
  );
  // Node's types and the runtime's describe one class in two ways.
  const source = Readable.fromWeb(counted as NodeStream<Uint8Array>);

  let opened: Readable | undefined;
  const fail = (error: unknown) => {
    const reason = error instanceof StorageError ? error : brokenOff();
    found.reject(reason);
    done.reject(reason);
    opened?.destroy(reason);
    source.destroy();
  };
  parser.on("field", (name, value) => fields.set(name, value));
  parser.on("file", (_name, file, _fileName, _encoding, mimeType) => {
    opened = file;
    file.on("error", fail);
    found.resolve({ file, mimeType });
  });
  parser.on("finish", () => {
    found.reject(noContent()); // without effect once a file was found
    done.resolve();
  });
  parser.on("error", fail);
  source.on("error", fail);
  source.pipe(parser);

  const { file, mimeType } = await found.promise;
  return {
    mimeType,
    fields,
    async *bytes() {
      try {
        for await (const chunk of file) {
          fileBytes += chunk.length;
          yield chunk;
        }
        await done.promise;
      } catch (error) {
        throw error instanceof StorageError ? error : brokenOff();
      }
    },
    close: () => source.destroy(),
  };
}

function createParser(contentType: string): BusboyInstance {
  try {
    return new Busboy({
      headers: { "content-type": contentType },
      limits: { fields: 10, files: 1, fieldSize: MAX_METADATA_BYTES + 1, headerPairs: 50 },
    });
  } catch { // for example without a boundary
    throw invalidRequest("Cannot read the form");
  }
}
