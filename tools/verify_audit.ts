// Checks an exported audit log without the database, and without any of the product's code or
// dependencies: copy this one file, and `deno run --allow-read verify_audit.ts` runs it anywhere.
// Usage: verify_audit.ts <log.ndjson> --head=<head.json> --key=<public.jwk>
//        verify_audit.ts <log.ndjson> --seal=<hash of a seal, hexadecimal>
// Ends with 0 when the log is what was sealed, 1 when it is not (naming the first bad line), 2 when it
// cannot tell. docs/audit.md has the formats.

const encoder = new TextEncoder();

/** A seal as its canonical form has it. */
interface Seal {
  id: number;
  leafCount: number;
  merkleRoot: string;
  previousHash: string | null;
  hash: string;
  /** Line of the log, from 1. */
  line: number;
}

/** What the log must be part of: a seal by its hash, which somebody kept or signed. */
export interface Anchor {
  hash: string;
  seal_id?: number;
}

/** What was found: the extent of a good log, or the first line that is bad and why. */
export type Verdict =
  | { ok: true; events: number; seals: number; firstSeal: number; anchor: number; after: number }
  | { ok: false; line: number; reason: string };

class BadLine extends Error {
  constructor(readonly line: number, message: string) {
    super(message);
  }
}

async function sha256(...parts: Uint8Array[]): Promise<Uint8Array> {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Leaf hash of RFC 6962: SHA-256 of a zero byte and the entry. */
export function leafHash(canonical: string): Promise<Uint8Array> {
  return sha256(Uint8Array.of(0), encoder.encode(canonical));
}

/** Merkle tree hash of RFC 6962, section 2.1, of leaf hashes. */
export async function merkleRoot(leaves: Uint8Array[]): Promise<Uint8Array> {
  const [first] = leaves;
  if (!first) return await sha256();
  if (leaves.length === 1) return first;
  const k = splitOf(leaves.length);
  return await sha256(
    Uint8Array.of(1),
    await merkleRoot(leaves.slice(0, k)),
    await merkleRoot(leaves.slice(k)),
  );
}

/** The largest power of two below `n`. */
function splitOf(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/**
 * The root to which an audit path leads (RFC 6962, section 2.1.1), as `audit_proof` gives one.
 *
 * @param position Of the leaf, from 0; `size` is the number of leaves.
 * @param path Hashes in hexadecimal, lowest first.
 * @returns Hexadecimal; undefined when the path is too short or too long for such a tree.
 */
export async function rootOfPath(
  leaf: string,
  position: number,
  size: number,
  path: string[],
): Promise<string | undefined> {
  const climb = async (at: number, n: number, depth: number): Promise<Uint8Array | undefined> => {
    if (n === 1) return depth === 0 ? fromHex(leaf) : undefined;
    const sibling = path[depth - 1];
    if (sibling === undefined) return undefined;
    const k = splitOf(n);
    const below = at < k ? await climb(at, k, depth - 1) : await climb(at - k, n - k, depth - 1);
    if (!below) return undefined;
    const beside = fromHex(sibling);
    return at < k
      ? await sha256(Uint8Array.of(1), below, beside)
      : await sha256(Uint8Array.of(1), beside, below);
  };
  if (!(position >= 0 && position < size)) return undefined;
  const root = await climb(position, size, path.length);
  return root && toHex(root);
}

/** Checks a log, line by line, in memory for one seal at a time. */
export async function verifyLog(lines: AsyncIterable<string>, anchor: Anchor): Promise<Verdict> {
  const seals: Seal[] = [];
  let leaves: Uint8Array[] = [];
  let lastId = -Infinity;
  let events = 0;
  let number = 0;
  const closeSeal = async () => {
    const seal = seals.at(-1);
    if (!seal) return;
    if (leaves.length !== seal.leafCount) {
      throw new BadLine(seal.line, `the seal is of ${seal.leafCount} events, not ${leaves.length}`);
    }
    if (toHex(await merkleRoot(leaves)) !== seal.merkleRoot) {
      throw new BadLine(seal.line, "the root of the seal is not that of its events");
    }
  };
  try {
    for await (const text of lines) {
      number++;
      const entry = readLine(text, number);
      if (number === 1) {
        if (entry.format !== "audit_log/1") {
          throw new BadLine(1, "this is no log of form audit_log/1");
        }
      } else if (typeof entry.seal === "string") {
        await closeSeal();
        seals.push(await readSeal(entry.seal, number, seals.at(-1)));
        leaves = [];
        lastId = -Infinity;
      } else {
        if (seals.length === 0) throw new BadLine(number, "the event is of no seal");
        const { id, leaf } = await readEvent(entry, number);
        if (id < lastId) throw new BadLine(number, "the events are out of order");
        lastId = id;
        leaves.push(leaf);
        events++;
      }
    }
    await closeSeal();
    const at = seals.findIndex(({ hash }) => hash === anchor.hash);
    const found = seals[at];
    const [first] = seals;
    const namesake = seals.find(({ id }) => id === anchor.seal_id);
    if (namesake && namesake !== found) {
      throw new BadLine(namesake.line, `seal ${namesake.id} has not the hash that was published`);
    }
    if (!found || !first) {
      throw new BadLine(Math.max(number, 1), "the log ends without the seal that it is checked by");
    }
    return {
      ok: true,
      events,
      seals: seals.length,
      firstSeal: first.id,
      anchor: found.id,
      after: seals.length - 1 - at,
    };
  } catch (error) {
    if (!(error instanceof BadLine)) throw error;
    return { ok: false, line: error.line, reason: error.message };
  }
}

function readLine(text: string, line: number): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return { ...value };
  } catch {
    // Said below, as of any other line that is none.
  }
  throw new BadLine(line, "this is no line of a log");
}

async function readSeal(canonical: string, line: number, previous?: Seal): Promise<Seal> {
  const [form, id, , , leafCount, merkleRoot, previousHash] = parseArray(canonical, line);
  if (
    form !== "audit_seal/1" || typeof id !== "number" || typeof leafCount !== "number" ||
    typeof merkleRoot !== "string" || !(previousHash === null || typeof previousHash === "string")
  ) throw new BadLine(line, "this is no seal of form audit_seal/1");
  if (previous ? previousHash !== previous.hash : (id === 1) !== (previousHash === null)) {
    throw new BadLine(line, "the seal does not follow from the one before");
  }
  if (previous && id !== previous.id + 1) throw new BadLine(line, "a seal before it is missing");
  const hash = toHex(await sha256(encoder.encode(canonical)));
  return { id, leafCount, merkleRoot, previousHash, hash, line };
}

async function readEvent(
  { event, leaf_hash }: Record<string, unknown>,
  line: number,
): Promise<{ id: number; leaf: Uint8Array }> {
  if (event === null) throw new BadLine(line, "the event is missing");
  if (typeof event !== "string") throw new BadLine(line, "this is neither a seal nor an event");
  const [form, id] = parseArray(event, line);
  if (form !== "audit_event/1" || typeof id !== "number") {
    throw new BadLine(line, "this is no event of form audit_event/1");
  }
  const leaf = await leafHash(event);
  if (toHex(leaf) !== leaf_hash) {
    throw new BadLine(line, "the event has changed since it was sealed");
  }
  return { id, leaf };
}

function parseArray(canonical: string, line: number): unknown[] {
  try {
    const value: unknown = JSON.parse(canonical);
    if (Array.isArray(value)) return value;
  } catch {
    // Said below.
  }
  throw new BadLine(line, "this is no canonical form");
}

/**
 * Reads a signed head: a JWS in flattened JSON, signed with Ed25519 or ECDSA on P-256.
 *
 * @throws {Error} When it is not signed by `key`, or is no head.
 */
export async function readHead(text: string, key: JsonWebKey): Promise<Required<Anchor>> {
  const { protected: header, payload, signature } = JSON.parse(text);
  const { alg } = JSON.parse(new TextDecoder().decode(fromBase64url(header)));
  // The key decides how it is used, not what the head says of itself.
  const isEd25519 = key.kty === "OKP";
  if (alg !== (isEd25519 ? "EdDSA" : "ES256")) throw new Error("The head is signed in another way");
  const { kty, crv, x, y } = key;
  const publicKey = await crypto.subtle.importKey(
    "jwk",
    { kty, crv, x, y },
    isEd25519 ? "Ed25519" : { name: "ECDSA", namedCurve: "P-256" },
    false,
    ["verify"],
  );
  const isSigned = await crypto.subtle.verify(
    isEd25519 ? "Ed25519" : { name: "ECDSA", hash: "SHA-256" },
    publicKey,
    fromBase64url(signature),
    encoder.encode(`${header}.${payload}`),
  );
  if (!isSigned) throw new Error("The head is not signed by this key");
  const { seal_id, hash } = JSON.parse(new TextDecoder().decode(fromBase64url(payload)));
  if (typeof seal_id !== "number" || typeof hash !== "string") throw new Error("This is no head");
  return { seal_id, hash };
}

function fromBase64url(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(
    atob(text.replaceAll("-", "+").replaceAll("_", "/")),
    (letter) => letter.charCodeAt(0),
  );
}

/** Lines of a stream of bytes, without their ends. */
export async function* linesOf(bytes: ReadableStream<Uint8Array<ArrayBuffer>>) {
  let rest = "";
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest) yield rest;
}

async function main(args: string[]): Promise<number> {
  const option = (name: string) =>
    args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
  const [path] = args.filter((arg) => !arg.startsWith("--"));
  const [head, key, seal] = [option("head"), option("key"), option("seal")];
  if (!path || (seal === undefined) === (head === undefined) || (head && !key)) {
    console.error(
      "Usage: verify_audit.ts <log.ndjson> (--head=<file> --key=<file> | --seal=<hash>)",
    );
    return 2;
  }
  let verdict: Verdict;
  try {
    const anchor: Anchor = head && key
      ? await readHead(await Deno.readTextFile(head), JSON.parse(await Deno.readTextFile(key)))
      : { hash: (seal ?? "").toLowerCase() };
    using file = await Deno.open(path);
    verdict = await verifyLog(linesOf(file.readable), anchor);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 2;
  }
  if (!verdict.ok) {
    console.error(`Not what was sealed: line ${verdict.line}: ${verdict.reason}`);
    return 1;
  }
  const { events, seals, firstSeal, anchor, after } = verdict;
  console.log(`${events} events in ${seals} seals, from seal ${firstSeal}, are what was sealed`);
  console.log(`Vouched for by seal ${anchor}; seals after it, for which it cannot vouch: ${after}`);
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
