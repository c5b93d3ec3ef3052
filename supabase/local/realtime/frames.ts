// Frames of the Realtime protocol in both versions of the serializer: what a client sends becomes an
// Inbound, what goes to clients is encoded once for each form, however many read it. Pure.

/** Version of the serializer that a client has asked for. */
export type Vsn = "1.0.0" | "2.0.0";

/** What goes over the socket: text, or bytes of a binary frame. */
export type Frame = string | Uint8Array<ArrayBuffer>;

/** A message from a client. */
export interface Inbound {
  joinRef: string | null;
  ref: string | null;
  topic: string;
  event: string;
  /** Parsed JSON; bytes for a push of kind 0; undefined for a {@link UserBroadcast}. */
  payload: unknown;
  /** Set when the frame was a binary broadcast. */
  broadcast?: UserBroadcast;
}

/** A broadcast in a frame of kind 3, or what goes out as one of kind 4. */
export interface UserBroadcast {
  event: string;
  /** UTF-8 JSON, or raw bytes. */
  payload: Uint8Array<ArrayBuffer>;
  isJson: boolean;
}

/** A message to a client. */
export interface Outbound {
  joinRef: string | null;
  ref: string | null;
  topic: string;
  event: string;
  payload: unknown;
}

const PUSH = 0;
const USER_BROADCAST_PUSH = 3;
const USER_BROADCAST = 4;
const RAW = 0;
const JSON_TEXT = 1;
/** Lengths in binary frames are one byte. */
const MAX_LENGTH = 255;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads a frame; undefined when it is malformed, or not of the client's version. */
export function decodeFrame(vsn: Vsn, data: Frame): Inbound | undefined {
  try {
    if (typeof data !== "string") return vsn === "2.0.0" ? decodeBinary(data) : undefined;
    return vsn === "2.0.0" ? decodeArray(JSON.parse(data)) : decodeObject(JSON.parse(data));
  } catch (error) {
    // JSON or UTF-8 that is none, or a length beyond the end.
    if (error instanceof SyntaxError || error instanceof TypeError || error instanceof RangeError) {
      return undefined;
    }
    throw error;
  }
}

function decodeArray(value: unknown): Inbound | undefined {
  if (!Array.isArray(value) || value.length < 5) return undefined;
  const [join_ref, ref, topic, event, payload] = value;
  return fromParts({ join_ref, ref, topic, event, payload });
}

function decodeObject(value: unknown): Inbound | undefined {
  return isObject(value) ? fromParts(value) : undefined;
}

function fromParts(parts: Record<string, unknown>): Inbound | undefined {
  const { topic, event, payload } = parts;
  const joinRef = readRef(parts.join_ref);
  const ref = readRef(parts.ref);
  if (typeof topic !== "string" || typeof event !== "string") return undefined;
  if (joinRef === undefined || ref === undefined) return undefined;
  return { joinRef, ref, topic, event, payload };
}

function readRef(value: unknown): string | null | undefined {
  if (value === undefined || value === null) return null;
  if (typeof value === "number") return String(value);
  return typeof value === "string" ? value : undefined;
}

function decodeBinary(data: Uint8Array<ArrayBuffer>): Inbound | undefined {
  if (data[0] === PUSH) {
    const [joinRef, ref, topic, event, payload] = split(data, 1, 4, 5);
    return { joinRef, ref, topic, event, payload } as Inbound;
  }
  if (data[0] !== USER_BROADCAST_PUSH) return undefined;
  const [joinRef, ref, topic, event, metadata, payload] = split(data, 1, 5, 7);
  const encoding = data[6];
  if (encoding !== RAW && encoding !== JSON_TEXT) return undefined;
  // Metadata asks to keep the message, which this stack does not; but it must be an object.
  if (metadata && !isObject(JSON.parse(metadata as string))) return undefined;
  const bytes = payload as Uint8Array<ArrayBuffer>;
  // Whoever reads it could not.
  if (encoding === JSON_TEXT) JSON.parse(decoder.decode(bytes));
  return {
    joinRef: joinRef as string,
    ref: ref as string,
    topic: topic as string,
    event: "broadcast",
    payload: undefined,
    broadcast: { event: event as string, payload: bytes, isJson: encoding === JSON_TEXT },
  };
}

/** The texts whose `count` lengths begin at byte `at`, and the rest; the texts begin at `start`. */
function split(data: Uint8Array<ArrayBuffer>, at: number, count: number, start: number) {
  const parts: (string | Uint8Array<ArrayBuffer>)[] = [];
  let end = start;
  for (let i = 0; i < count; i++) {
    const from = end;
    end += data[at + i] ?? Infinity;
    if (end > data.length) throw new RangeError("A length is beyond the end of the frame");
    parts.push(decoder.decode(data.subarray(from, end)));
  }
  return [...parts, data.subarray(end)];
}

/** Writes a message as text. */
export function encodeText(vsn: Vsn, message: Outbound): string {
  return textAround(vsn, message, JSON.stringify(message.payload));
}

function textAround(vsn: Vsn, message: Omit<Outbound, "payload">, payload: string): string {
  const { joinRef, ref, topic, event } = message;
  const [t, e, r] = [JSON.stringify(topic), JSON.stringify(event), JSON.stringify(ref)];
  if (vsn === "1.0.0") return `{"topic":${t},"event":${e},"payload":${payload},"ref":${r}}`;
  return `[${JSON.stringify(joinRef)},${r},${t},${e},${payload}]`;
}

/** A message to many, encoded when the first reader of a version needs it. */
export class SharedFrame {
  readonly #encode: (vsn: Vsn) => Frame | undefined;
  #frames = new Map<Vsn, Frame | undefined>();
  /** Id of the row that it came from, if any. */
  readonly id: string | undefined;

  private constructor(encode: (vsn: Vsn) => Frame | undefined, id?: string) {
    this.#encode = encode;
    this.id = id;
  }

  /** The frame for clients of a version; undefined when the message cannot be put into it. */
  forVsn(vsn: Vsn): Frame | undefined {
    if (!this.#frames.has(vsn)) this.#frames.set(vsn, this.#encode(vsn));
    return this.#frames.get(vsn);
  }

  /** A message that is text in both versions. */
  static text(topic: string, event: string, payload: unknown): SharedFrame {
    const json = JSON.stringify(payload);
    return new SharedFrame((vsn) =>
      textAround(vsn, { joinRef: null, ref: null, topic, event }, json)
    );
  }

  /** A broadcast that is binary where the version has that. */
  static broadcast(
    topic: string,
    broadcast: UserBroadcast,
    meta: Record<string, unknown> | undefined,
    id?: string,
  ): SharedFrame {
    return new SharedFrame((vsn) => {
      const binary = vsn === "2.0.0" ? encodeBroadcast(topic, broadcast, meta) : undefined;
      return binary ?? broadcastText(vsn, topic, broadcast, meta);
    }, id);
  }
}

/** A frame of kind 4; undefined when a text is too long for one. */
export function encodeBroadcast(
  topic: string,
  { event, payload, isJson }: UserBroadcast,
  meta?: Record<string, unknown>,
): Uint8Array<ArrayBuffer> | undefined {
  const texts = [topic, event, meta ? JSON.stringify(meta) : ""].map((t) => encoder.encode(t));
  if (texts.some((text) => text.length > MAX_LENGTH)) return undefined;
  const lengths = texts.map((text) => text.length);
  const head = [USER_BROADCAST, ...lengths, isJson ? JSON_TEXT : RAW];
  const parts = [Uint8Array.from(head), ...texts, payload];
  const frame = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  return frame;
}

function broadcastText(
  vsn: Vsn,
  topic: string,
  { event, payload, isJson }: UserBroadcast,
  meta?: Record<string, unknown>,
): string | undefined {
  if (!isJson) return undefined;
  const tail = meta ? `,"meta":${JSON.stringify(meta)}` : "";
  const json = `{"type":"broadcast","event":${JSON.stringify(event)},"payload":${
    decoder.decode(payload)
  }${tail}}`;
  return textAround(vsn, { joinRef: null, ref: null, topic, event: "broadcast" }, json);
}

/** JSON text as the payload of a broadcast. */
export function jsonBroadcast(event: string, json: string): UserBroadcast {
  return { event, payload: encoder.encode(json), isJson: true };
}

/** Whether `text` has more than `limit` bytes in UTF-8. */
export function isLonger(text: string, limit: number): boolean {
  if (text.length > limit) return true;
  return text.length * 3 > limit && encoder.encode(text).length > limit;
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Uint8Array);
}
