// Reads what PostgreSQL's output plugin `pgoutput` (version 1 of its protocol) writes of committed
// transactions. Pure; values stay text, as PostgreSQL writes them.

/** A column of a table, as it was when a row of it was changed. */
export interface ReplicaColumn {
  name: string;
  typeOid: number;
  typeModifier: number;
  /** Whether it is part of the replica identity. */
  isKey: boolean;
}

/** A table, as it was when a row of it was changed. */
export interface Relation {
  oid: number;
  schema: string;
  table: string;
  columns: ReplicaColumn[];
}

/** A value as text; null; or undefined for a large value that the change has left as it was. */
export type WireValue = string | null | undefined;

/** Values in the order of {@link Relation.columns}. */
export type Tuple = WireValue[];

/** What happened to a row. */
export interface RowChange {
  type: "INSERT" | "UPDATE" | "DELETE";
  relation: Relation;
  /** Missing for a DELETE. */
  after?: Tuple;
  /** Missing for an INSERT, and for an UPDATE that leaves the key as it is. */
  before?: Tuple;
  /** Whether {@link before} has the key only; its other values are null, whatever they were. */
  isKeyOnly?: boolean;
}

/** A committed transaction. */
export interface Commit {
  /** Position of the commit in the log. */
  lsn: bigint;
  /** Microseconds since the epoch. */
  time: bigint;
  changes: RowChange[];
}

/** PostgreSQL counts from the first day of 2000. */
const EPOCH_MICROSECONDS = 946_684_800_000_000n;

/** Reads messages one by one; a transaction is complete with its last one. */
export class PgoutputReader {
  #relations = new Map<number, Relation>();
  #commit: Commit | undefined;

  /** Answers the transaction that `message` ends, if it ends one. */
  read(message: Uint8Array): Commit | undefined {
    const bytes = new Bytes(message);
    const kind = bytes.letter();
    switch (kind) {
      case "B":
        this.#commit = {
          lsn: bytes.int64(),
          time: bytes.int64() + EPOCH_MICROSECONDS,
          changes: [],
        };
        return undefined;
      case "C": {
        const commit = this.#commit;
        this.#commit = undefined;
        return commit;
      }
      case "R": {
        const relation = readRelation(bytes);
        this.#relations.set(relation.oid, relation);
        return undefined;
      }
      case "I":
      case "U":
      case "D":
        this.#commit?.changes.push(this.#readChange(kind, bytes));
        return undefined;
    }
    // Truncation, types, origins and messages are not reported.
    return undefined;
  }

  #readChange(kind: "I" | "U" | "D", bytes: Bytes): RowChange {
    const oid = bytes.uint32();
    const relation = this.#relations.get(oid);
    if (!relation) throw new Error(`pgoutput: A change names relation ${oid} before it is told of`);
    const type = ({ I: "INSERT", U: "UPDATE", D: "DELETE" } as const)[kind];
    const change: RowChange = { type, relation };
    for (let part = bytes.letter(); part; part = bytes.letter()) {
      if (part === "N") {
        change.after = readTuple(bytes);
      } else {
        change.before = readTuple(bytes);
        change.isKeyOnly = part === "K";
      }
    }
    return change;
  }
}

function readRelation(bytes: Bytes): Relation {
  const oid = bytes.uint32();
  // An empty name stands for pg_catalog.
  const schema = bytes.text() || "pg_catalog";
  const table = bytes.text();
  bytes.letter(); // the kind of replica identity, which the columns say as well
  const columns = Array.from({ length: bytes.int16() }, (): ReplicaColumn => ({
    isKey: (bytes.byte() & 1) === 1,
    name: bytes.text(),
    typeOid: bytes.uint32(),
    typeModifier: bytes.int32(),
  }));
  return { oid, schema, table, columns };
}

function readTuple(bytes: Bytes): Tuple {
  return Array.from({ length: bytes.int16() }, () => {
    const kind = bytes.letter();
    if (kind === "n") return null;
    if (kind === "u") return undefined;
    if (kind !== "t") throw new Error(`pgoutput: A value of kind ${kind} was not asked for`);
    return bytes.sized(bytes.int32());
  });
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Takes numbers and texts from the front of a message. */
class Bytes {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #skip(count: number): number {
    const at = this.#at;
    this.#at += count;
    return at;
  }

  byte(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  /** The next byte as a letter; empty at the end. */
  letter(): string {
    return this.#at < this.#bytes.length ? String.fromCharCode(this.byte()) : "";
  }

  int16(): number {
    return this.#view.getInt16(this.#skip(2));
  }

  int32(): number {
    return this.#view.getInt32(this.#skip(4));
  }

  uint32(): number {
    return this.#view.getUint32(this.#skip(4));
  }

  int64(): bigint {
    return this.#view.getBigInt64(this.#skip(8));
  }

  /** A text that ends with a zero byte. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw new RangeError("pgoutput: A text has no end");
    const text = decoder.decode(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return text;
  }

  sized(length: number): string {
    const from = this.#skip(length);
    if (this.#at > this.#bytes.length) throw new RangeError("pgoutput: A value has no end");
    return decoder.decode(this.#bytes.subarray(from, this.#at));
  }
}
