// The reader of the log: every message of pgoutput's protocol, and where one of them ends too early.

import { assertEquals, assertThrows } from "@std/assert";
import { PgoutputReader, type ReplicaColumn } from "../../supabase/local/realtime/pgoutput.ts";

const encoder = new TextEncoder();

/** Bytes of a message: numbers by their width, texts, and texts that end with a zero byte. */
class Message {
  #bytes: number[] = [];

  constructor(kind: string) {
    this.#bytes.push(kind.charCodeAt(0));
  }

  byte(value: number | string): this {
    this.#bytes.push(typeof value === "string" ? value.charCodeAt(0) : value);
    return this;
  }

  number(width: 2 | 4 | 8, value: bigint | number): this {
    const wide = BigInt.asUintN(width * 8, BigInt(value));
    for (let i = width - 1; i >= 0; i--) this.#bytes.push(Number((wide >> BigInt(i * 8)) & 255n));
    return this;
  }

  text(text: string): this {
    this.#bytes.push(...encoder.encode(text), 0);
    return this;
  }

  tuple(values: (string | null | undefined)[]): this {
    this.number(2, values.length);
    for (const value of values) {
      if (value === null) this.byte("n");
      else if (value === undefined) this.byte("u");
      else {
        const bytes = encoder.encode(value);
        this.byte("t").number(4, bytes.length);
        this.#bytes.push(...bytes);
      }
    }
    return this;
  }

  /** Inside a larger buffer, as a driver hands it over. */
  get bytes(): Uint8Array {
    return Uint8Array.from([255, ...this.#bytes, 255]).subarray(1, 1 + this.#bytes.length);
  }
}

const LSN = 0x16_b374_d848n;
/** 2026-08-01T10:00:00.123456Z since 2000-01-01, in microseconds. */
const TIME = 838_893_600_123_456n;
const begin = new Message("B").number(8, LSN).number(8, TIME).number(4, 731).bytes;
const end = new Message("C").byte(0).number(8, LSN).number(8, LSN).number(8, TIME).bytes;

const ID: ReplicaColumn = { name: "id", typeOid: 20, typeModifier: -1, isKey: true };
// Oids are unsigned.
const NAME: ReplicaColumn = {
  name: "größe",
  typeOid: 4_000_000_000,
  typeModifier: 8,
  isKey: false,
};

function relation(oid: number, columns: ReplicaColumn[], schema = "public"): Uint8Array {
  const message = new Message("R").number(4, oid).text(schema).text("Things").byte("d");
  message.number(2, columns.length);
  for (const { isKey, name, typeOid, typeModifier } of columns) {
    message.byte(isKey ? 1 : 0).text(name).number(4, typeOid).number(4, typeModifier);
  }
  return message.bytes;
}

const change = (kind: string, oid: number) => new Message(kind).number(4, oid);

/** What the last message of several answers. */
function readAll(...messages: Uint8Array[]) {
  const reader = new PgoutputReader();
  return messages.map((message) => reader.read(message)).at(-1);
}

Deno.test("pgoutput: a transaction is read with position, time, tables and rows", () => {
  const commit = readAll(
    begin,
    relation(3_000_000_000, [ID, NAME]),
    change("I", 3_000_000_000).byte("N").tuple(["1", "groß 𝄞"]).bytes,
    change("U", 3_000_000_000).byte("N").tuple(["1", undefined]).bytes,
    change("U", 3_000_000_000).byte("K").tuple(["1", null]).byte("N").tuple(["2", ""]).bytes,
    change("D", 3_000_000_000).byte("K").tuple(["2", null]).bytes,
    end,
  );
  const table = { oid: 3_000_000_000, schema: "public", table: "Things", columns: [ID, NAME] };
  assertEquals(commit, {
    lsn: LSN,
    time: BigInt(Date.parse("2026-08-01T10:00:00.123Z")) * 1000n + 456n,
    changes: [
      { type: "INSERT", relation: table, after: ["1", "groß 𝄞"] },
      { type: "UPDATE", relation: table, after: ["1", undefined] },
      {
        ...{ type: "UPDATE", relation: table, isKeyOnly: true },
        ...{ before: ["1", null], after: ["2", ""] },
      },
      { type: "DELETE", relation: table, before: ["2", null], isKeyOnly: true },
    ],
  });
});

Deno.test("pgoutput: under REPLICA IDENTITY FULL the row before is whole", () => {
  const commit = readAll(
    begin,
    relation(1, [ID, NAME]),
    change("U", 1).byte("O").tuple(["1", "a"]).byte("N").tuple(["1", undefined]).bytes,
    change("D", 1).byte("O").tuple(["1", "a"]).bytes,
    end,
  );
  assertEquals(commit?.changes.map(({ before, isKeyOnly }) => ({ before, isKeyOnly })), [
    { before: ["1", "a"], isKeyOnly: false },
    { before: ["1", "a"], isKeyOnly: false },
  ]);
});

Deno.test("pgoutput: a table that is told again has its new columns", () => {
  const commit = readAll(
    begin,
    relation(1, [ID]),
    change("I", 1).byte("N").tuple(["1"]).bytes,
    relation(1, [NAME, ID], ""),
    change("I", 1).byte("N").tuple(["a", "2"]).bytes,
    end,
  );
  assertEquals(
    commit?.changes.map((
      { relation: { schema, columns } },
    ) => [schema, columns.map((c) => c.name)]),
    [["public", ["id"]], ["pg_catalog", ["größe", "id"]]],
  );
});

Deno.test("pgoutput: truncations, types and origins are passed over; transactions are told apart", () => {
  const reader = new PgoutputReader();
  const between = [
    new Message("T").number(4, 1).byte(0).number(4, 1).bytes,
    new Message("Y").number(4, 1).text("public").text("mood").bytes,
    new Message("O").number(8, LSN).text("elsewhere").bytes,
  ];
  for (const message of [begin, relation(1, [ID]), ...between]) {
    assertEquals(reader.read(message), undefined);
  }
  assertEquals(reader.read(end)?.changes, []);
  assertEquals(reader.read(end), undefined);
  // What was told of a table holds for the next transaction.
  reader.read(begin);
  reader.read(change("I", 1).byte("N").tuple(["1"]).bytes);
  assertEquals(reader.read(end)?.changes.length, 1);
});

Deno.test("pgoutput: what is cut off, or of an unknown table, is an error", () => {
  const whole = change("I", 1).byte("N").tuple(["1", "abc"]).bytes;
  for (let length = 2; length < whole.length; length++) {
    // Where a part of the change begins there may be none.
    if (length === 5) continue;
    assertThrows(() => readAll(begin, relation(1, [ID, NAME]), whole.subarray(0, length)));
  }
  assertThrows(() => readAll(begin, change("I", 9).byte("N").tuple([]).bytes), Error, "relation 9");
  assertThrows(() => readAll(begin, new Message("R").number(4, 1).byte("x").bytes));
});
