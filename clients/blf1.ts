// The file format blf1: a file sealed with AES-256-GCM in frames of 64 KiB, each tied to the record,
// to its place and to whether it is the last. docs/file-encryption.md describes every byte. Used by
// clients and by the function `records`; needs WebCrypto and Web Streams, and nothing else.

/** What a file begins with: three letters and the version. */
const MAGIC = Uint8Array.of(0x42, 0x4c, 0x46, 0x31); // BLF1
/** Random bytes of the header, with which every nonce of the file begins. */
const PREFIX_BYTES = 7;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const UUID_BYTES = 16;

/** Bytes of an AES-256 key. */
export const KEY_BYTES = 32;
/** Bytes before the first frame. */
export const HEADER_BYTES = MAGIC.length + PREFIX_BYTES;
/** Plaintext of every frame but the last. */
export const FRAME_BYTES = 65_536;
/** The same sealed. */
export const SEALED_FRAME_BYTES = FRAME_BYTES + TAG_BYTES;
/** Frames are numbered in 32 bits. */
const MAX_FRAMES = 2 ** 32;

/** Frames that are worked on at once: several cores share the work, and memory stays bounded. */
const WINDOW = 8;

/** Why sealed bytes are refused. */
export type FormatFault =
  /** Does not begin as a file of this format and version does. */
  | "not_blf1"
  /** Ends within the header or within a frame's tag. */
  | "truncated"
  /** A frame is not what was sealed with this key for this record at this place, the last as the last. */
  | "not_authentic"
  /** Has more frames than the format can number. */
  | "too_long";

const FAULTS: Readonly<Record<FormatFault, string>> = {
  not_blf1: "The bytes are not a file of the format blf1",
  truncated: "The encrypted file is cut off",
  not_authentic: "The encrypted file was changed, or sealed with another key or for another record",
  too_long: "The file is too long for the format blf1",
};

/** Refusal of bytes that are not, whole and in order, what was sealed. */
export class FormatError extends Error {
  override readonly name = "FormatError";

  constructor(readonly fault: FormatFault) {
    super(FAULTS[fault]);
  }
}

/** Bytes that `size` bytes of plaintext become. */
export function sealedSize(size: number): number {
  return HEADER_BYTES + size + TAG_BYTES * Math.max(1, Math.ceil(size / FRAME_BYTES));
}

/**
 * Takes over a data key.
 *
 * @param bytes 32 bytes; may be wiped afterwards.
 */
export async function importKey(bytes: BufferSource): Promise<CryptoKey> {
  if (bytes.byteLength !== KEY_BYTES) throw new RangeError(`A data key has ${KEY_BYTES} bytes`);
  return await crypto.subtle.importKey("raw", bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
}

/** A stream that seals what passes through it. Memory does not depend on the length of the file. */
export function encryptStream(
  key: CryptoKey,
  recordId: string,
): TransformStream<Uint8Array, Uint8Array<ArrayBuffer>> {
  return sealWith(key, recordId, crypto.getRandomValues(new Uint8Array(PREFIX_BYTES)));
}

/**
 * As {@link encryptStream} with a given prefix, for test vectors. A prefix that is used twice with one
 * key gives the plaintext away.
 */
export function sealWith(
  key: CryptoKey,
  recordId: string,
  prefix: Uint8Array<ArrayBuffer>,
): TransformStream<Uint8Array, Uint8Array<ArrayBuffer>> {
  const frames = new FrameCipher(key, uuidBytes(recordId), prefix);
  const cutter = new Cutter(FRAME_BYTES);
  const queue = new OrderedQueue();
  return new TransformStream({
    start(controller) {
      const header = new Uint8Array(HEADER_BYTES);
      header.set(MAGIC);
      header.set(prefix, MAGIC.length);
      controller.enqueue(header);
    },
    async transform(chunk, controller) {
      for (const frame of cutter.push(chunk)) {
        await queue.add(frames.seal(frame, false), controller);
      }
    },
    async flush(controller) {
      await queue.add(frames.seal(cutter.rest(), true), controller);
      await queue.drain(controller);
    },
  });
}

/**
 * A stream that opens what {@link encryptStream} has sealed, with the same key and for the same record.
 * A frame comes out only after it has been found authentic and in its place; the stream ends well only
 * after the last frame. Whatever is wrong fails it with a {@link FormatError}: what came out before is
 * then a true beginning, and to be thrown away.
 */
export function decryptStream(
  key: CryptoKey,
  recordId: string,
): TransformStream<Uint8Array, Uint8Array<ArrayBuffer>> {
  const recordBytes = uuidBytes(recordId);
  const head = new Cutter(HEADER_BYTES);
  const cutter = new Cutter(SEALED_FRAME_BYTES);
  const queue = new OrderedQueue();
  let frames: FrameCipher | undefined;

  /** Reads the header first; gives what of the chunk belongs to frames. */
  const begin = (chunk: Uint8Array): Uint8Array => {
    const wanted = HEADER_BYTES - head.length;
    // One byte more makes the cutter give the header away.
    const [header] = head.push(chunk.subarray(0, wanted + 1));
    if (!header) return chunk.subarray(chunk.length);
    frames = new FrameCipher(key, recordBytes, readHeader(header));
    return chunk.subarray(wanted);
  };

  return new TransformStream({
    async transform(chunk, controller) {
      const sealed = frames ? chunk : begin(chunk);
      if (!frames) return;
      for (const frame of cutter.push(sealed)) {
        await queue.add(frames.open(frame, false), controller);
      }
    },
    async flush(controller) {
      if (!frames) {
        // Shorter than a header and a byte: say which of the two it is.
        const header = head.rest();
        if (header.some((byte, at) => at < MAGIC.length && byte !== MAGIC[at])) {
          throw new FormatError("not_blf1");
        }
        throw new FormatError("truncated");
      }
      const last = cutter.rest();
      if (last.length < TAG_BYTES) throw new FormatError("truncated");
      await queue.add(frames.open(last, true), controller);
      await queue.drain(controller);
    },
  });
}

/** Checks magic and version; gives the prefix. */
function readHeader(header: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (MAGIC.some((byte, at) => header[at] !== byte)) throw new FormatError("not_blf1");
  return header.slice(MAGIC.length);
}

/** Seals or opens the frames of one file, one after the other: the STREAM construction. */
class FrameCipher {
  readonly #key: CryptoKey;
  readonly #prefix: Uint8Array<ArrayBuffer>;
  readonly #recordId: Uint8Array<ArrayBuffer>;
  #index = 0;

  constructor(
    key: CryptoKey,
    recordId: Uint8Array<ArrayBuffer>,
    prefix: Uint8Array<ArrayBuffer>,
  ) {
    this.#key = key;
    this.#prefix = prefix;
    this.#recordId = recordId;
  }

  async seal(frame: Uint8Array<ArrayBuffer>, isLast: boolean): Promise<Uint8Array<ArrayBuffer>> {
    const parameters = this.#next(isLast);
    return new Uint8Array(await crypto.subtle.encrypt(parameters, this.#key, frame));
  }

  async open(sealed: Uint8Array<ArrayBuffer>, isLast: boolean): Promise<Uint8Array<ArrayBuffer>> {
    // Only a file without content has a frame without content: each file is written in one way.
    if (sealed.length === TAG_BYTES && this.#index > 0) throw new FormatError("not_authentic");
    const parameters = this.#next(isLast);
    try {
      return new Uint8Array(await crypto.subtle.decrypt(parameters, this.#key, sealed));
    } catch (cause) {
      // WebCrypto says no more than that the tag does not fit.
      if (cause instanceof DOMException && cause.name === "OperationError") {
        throw new FormatError("not_authentic");
      }
      throw cause;
    }
  }

  /** Nonce and additional data of the next frame. */
  #next(isLast: boolean): AesGcmParams {
    if (this.#index >= MAX_FRAMES) throw new FormatError("too_long");
    const index = this.#index++;
    const iv = new Uint8Array(NONCE_BYTES);
    iv.set(this.#prefix);
    new DataView(iv.buffer).setUint32(PREFIX_BYTES, index);
    iv[NONCE_BYTES - 1] = isLast ? 1 : 0;
    const additionalData = new Uint8Array(MAGIC.length + UUID_BYTES + 5);
    additionalData.set(MAGIC);
    additionalData.set(this.#recordId, MAGIC.length);
    new DataView(additionalData.buffer).setUint32(MAGIC.length + UUID_BYTES, index);
    additionalData[additionalData.length - 1] = isLast ? 1 : 0;
    return { name: "AES-GCM", iv, additionalData };
  }
}

/** The sixteen bytes of a UUID. */
function uuidBytes(text: string): Uint8Array<ArrayBuffer> {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) {
    throw new RangeError("The id of a record is a UUID");
  }
  const digits = text.replaceAll("-", "");
  return Uint8Array.from(
    { length: UUID_BYTES },
    (_, at) => parseInt(digits.slice(2 * at, 2 * at + 2), 16),
  );
}

/**
 * Cuts a stream of bytes into pieces of one size. A full piece is held back until a byte comes after
 * it, because only then it is certain not to be the last.
 */
class Cutter {
  readonly #size: number;
  readonly #held: Uint8Array<ArrayBuffer>;
  /** Bytes held. */
  length = 0;

  constructor(size: number) {
    this.#size = size;
    this.#held = new Uint8Array(size);
  }

  /**
   * Takes the next bytes; gives the pieces that are full and not the last. A piece is to be used before
   * the next one is asked for: WebCrypto copies what it is given when it is called.
   */
  *push(chunk: Uint8Array): Generator<Uint8Array<ArrayBuffer>> {
    let at = 0;
    while (chunk.length - at > this.#size - this.length) {
      const end = at + this.#size - this.length;
      this.#held.set(chunk.subarray(at, end), this.length);
      at = end;
      this.length = 0;
      yield this.#held;
    }
    this.#held.set(chunk.subarray(at), this.length);
    this.length += chunk.length - at;
  }

  /** The last piece: whatever is left. */
  rest(): Uint8Array<ArrayBuffer> {
    return this.#held.subarray(0, this.length);
  }
}

/** Gives results in the order in which their work was begun, with a few of them under way. */
class OrderedQueue {
  readonly #pending: Promise<Uint8Array<ArrayBuffer>>[] = [];

  /** Adds work that was begun; waits while too much is under way. */
  async add(
    work: Promise<Uint8Array<ArrayBuffer>>,
    out: TransformStreamDefaultController<Uint8Array<ArrayBuffer>>,
  ): Promise<void> {
    // A failure is met when its turn comes, unless an earlier one has ended the stream by then.
    work.catch(() => {});
    this.#pending.push(work);
    if (this.#pending.length >= WINDOW) await this.#give(out);
  }

  /** Gives all that is left. */
  async drain(out: TransformStreamDefaultController<Uint8Array<ArrayBuffer>>): Promise<void> {
    while (this.#pending.length > 0) await this.#give(out);
  }

  async #give(out: TransformStreamDefaultController<Uint8Array<ArrayBuffer>>): Promise<void> {
    const bytes = await this.#pending.shift();
    if (bytes && bytes.length > 0) out.enqueue(bytes);
  }
}
