// `postgres_changes`: tells channels of committed changes of rows, each of what it asked for and its
// role and claims may know. A DELETE is told to everybody whose filter it meets, because its row is
// no longer there to be checked: with the primary key only, where row level security is on.

import { Buffer } from "node:buffer";
import type postgres from "postgres";
import type { StackContext } from "../context.ts";
import { describeError } from "../log_errors.ts";
import {
  type ChangeBinding,
  ChangeError,
  type ChangeSubscriber,
  checkBindings,
  parseBinding,
  type ParsedBinding,
} from "./change_bindings.ts";
import { ChangeFeed } from "./change_feed.ts";
import {
  compare,
  type Comparison,
  isOutage,
  JsonValues,
  type KeyedRow,
  type RowValue,
  visibleRows,
} from "./change_rows.ts";
import { type CatalogTable, readTables } from "./change_tables.ts";
import type { Commit, RowChange, Tuple } from "./pgoutput.ts";

export { type ChangeBinding, ChangeError, type ChangeSubscriber };

/** A change, for those bindings of one channel that asked for it. */
export interface ChangeMessage {
  ids: number[];
  data: Record<string, unknown>;
}

/** What a channel hears of its subscription after it is ready. */
export type ChangeNotice = (status: "ok" | "error", message: string) => void;

/** The subscription of one channel. */
export interface ChangeSubscription {
  /** Ids of the bindings, in their order. */
  ids: number[];
  /**
   * Resolves when changes are told; those that are committed before it are not. Rejects with
   * {@link ChangeError} when one of the bindings cannot work: then none does. Neither, when it is
   * closed before.
   */
  ready: Promise<void>;
  /** Another token: what is told from now on is for this subscriber. */
  update(subscriber: ChangeSubscriber): void;
  close(): void;
}

/** All subscriptions to changes of rows. */
export interface Changes {
  subscribe(
    bindings: ChangeBinding[],
    subscriber: ChangeSubscriber,
    deliver: (message: ChangeMessage) => void,
    notify?: ChangeNotice,
  ): ChangeSubscription;
  close(): Promise<void>;
}

/** Builds it; the log is read while there are subscriptions. */
export function createChanges({ admin, adminUrl }: StackContext): Changes {
  return new ChangeHub(admin, adminUrl);
}

/** Text of the notice that changes are told. */
const SUBSCRIBED = "Subscribed to PostgreSQL";
/** Text of the notice that they are not, for now or at all. */
const FAILED = "Subscribing to PostgreSQL failed";

/** Changes that the database is asked about at once. */
const BATCH = 500;

let lastId = 0;

interface Subscription {
  bindings: ParsedBinding[];
  subscriber: ChangeSubscriber;
  deliver: (message: ChangeMessage) => void;
  notify: ChangeNotice;
  /** Commits before this position are not told; undefined while nothing is. */
  since: bigint | undefined;
  isClosed: boolean;
}

class ChangeHub implements Changes {
  readonly #admin: postgres.Sql;
  readonly #url: string;
  readonly #subscriptions = new Set<Subscription>();
  #feed: ChangeFeed | undefined;
  /** Subscriptions that are checked, and feeds that end. */
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(admin: postgres.Sql, url: string) {
    this.#admin = admin;
    this.#url = url;
  }

  subscribe(
    bindings: ChangeBinding[],
    subscriber: ChangeSubscriber,
    deliver: (message: ChangeMessage) => void,
    notify: ChangeNotice = () => {},
  ): ChangeSubscription {
    const ids = bindings.map(() => ++lastId);
    const subscription: Subscription = {
      ...{ bindings: [], subscriber, deliver, notify },
      ...{ since: undefined, isClosed: false },
    };
    this.#subscriptions.add(subscription);
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    ready.catch(() => {});
    const opened = this.#open(subscription, bindings, ids).then(
      () => subscription.isClosed || resolve(),
      (error) => {
        if (subscription.isClosed) return;
        this.#close(subscription);
        reject(error);
      },
    ).finally(() => this.#underWay.delete(opened));
    this.#underWay.add(opened);
    return {
      ids,
      ready,
      update: (newSubscriber) => {
        subscription.subscriber = newSubscriber;
        // While it opens, opening looks again.
        if (subscription.since === undefined) return;
        const checked = this.#recheck(subscription).finally(() => this.#underWay.delete(checked));
        this.#underWay.add(checked);
      },
      close: () => this.#close(subscription),
    };
  }

  async close(): Promise<void> {
    for (const subscription of this.#subscriptions) this.#close(subscription);
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  async #open(subscription: Subscription, bindings: ChangeBinding[], ids: number[]): Promise<void> {
    subscription.bindings = bindings.map((binding, i) => parseBinding(binding, ids[i]!));
    this.#feed ??= new ChangeFeed(this.#url, {
      commits: (commits) => this.#tell(commits),
      lost: () => this.#notifyAll("error", FAILED),
      back: () => this.#notifyAll("ok", SUBSCRIBED),
    });
    await this.#feed.started;
    try {
      await this.#check(subscription);
      const [row] = await this.#admin<{ lsn: string }[]>`
        select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::text as lsn`;
      subscription.since = BigInt(row!.lsn);
    } catch (error) {
      throw asChangeError(error);
    }
  }

  /** Checks the bindings for the subscriber; again when it is another one meanwhile. */
  async #check(subscription: Subscription): Promise<void> {
    let checked: ChangeSubscriber;
    do {
      checked = subscription.subscriber;
      await checkBindings(this.#admin, subscription.bindings, checked);
    } while (checked !== subscription.subscriber);
  }

  /** Ends a subscription whose new subscriber may not have it. */
  async #recheck(subscription: Subscription): Promise<void> {
    try {
      await this.#check(subscription);
      if (!subscription.isClosed) subscription.notify("ok", SUBSCRIBED);
    } catch (error) {
      if (subscription.isClosed) return;
      this.#close(subscription);
      subscription.notify("error", asChangeError(error).message);
    }
  }

  #close(subscription: Subscription): void {
    subscription.isClosed = true;
    this.#subscriptions.delete(subscription);
    if (this.#subscriptions.size > 0 || !this.#feed) return;
    const ended = this.#feed.close().finally(() => this.#underWay.delete(ended));
    this.#underWay.add(ended);
    this.#feed = undefined;
  }

  #notifyAll(status: "ok" | "error", message: string): void {
    for (const { since, notify } of [...this.#subscriptions]) {
      if (since !== undefined) notify(status, message);
    }
  }

  /** Tells all who may know; what fails for a batch is tried change by change. */
  async #tell(commits: Commit[]): Promise<void> {
    const live = [...this.#subscriptions].filter(({ since }) => since !== undefined);
    const heard = commits.flatMap((commit) =>
      commit.changes.map((change): HeardChange => ({
        change,
        commit,
        hearers: live.filter(({ since }) => commit.lsn >= since!)
          .flatMap((subscription) => hearersOf(subscription, change)),
      }))
    ).filter(({ hearers }) => hearers.length > 0);
    for (let from = 0; from < heard.length; from += BATCH) {
      await this.#tellBatch(heard.slice(from, from + BATCH));
    }
  }

  async #tellBatch(heard: HeardChange[]): Promise<void> {
    try {
      await tellAll(this.#admin, heard);
    } catch (error) {
      if (isOutage(error)) throw error;
      if (heard.length > 1) {
        for (const one of heard) await this.#tellBatch([one]);
      } else {
        // The type of a column, for example, is gone since.
        console.error(`Realtime: A change was not told: ${describeError(error)}`);
      }
    }
  }
}

/** What a client may know of why its subscription failed. */
function asChangeError(error: unknown): ChangeError {
  if (error instanceof ChangeError) return error;
  console.error(`Realtime: Bindings were not checked: ${describeError(error)}`);
  return new ChangeError(FAILED);
}

/** A binding that matches a change by event and table. */
interface Hearer {
  subscription: Subscription;
  /** As it was when the change was looked at. */
  subscriber: ChangeSubscriber;
  binding: ParsedBinding;
}

interface HeardChange {
  change: RowChange;
  commit: Commit;
  hearers: Hearer[];
}

function hearersOf(subscription: Subscription, { type, relation }: RowChange): Hearer[] {
  const { subscriber } = subscription;
  return subscription.bindings.filter(({ event, schema, table }) =>
    (event === "*" || event === type) && (schema === "*" || schema === relation.schema) &&
    (table === "*" || table === relation.table)
  ).map((binding) => ({ subscription, subscriber, binding }));
}

/** Largest row that is told whole, and largest value of one that is not, in bytes. */
const [MAX_ROW_BYTES, MAX_KEPT_BYTES] = [1024 * 1024, 64];

/** A change with what the catalogue says of its table. */
interface Row extends HeardChange {
  table: CatalogTable;
  /** By column. Large values that were left as they are come from the row before, if that has them. */
  after: Map<string, RowValue>;
  before: Map<string, RowValue>;
  key: RowValue[] | undefined;
  isTooLarge: boolean;
}

/** Asks the database about all changes at once, and tells each in their order. */
async function tellAll(sql: postgres.Sql, heard: HeardChange[]): Promise<void> {
  const roles = new Set(heard.flatMap(({ hearers }) => hearers.map((h) => h.subscriber.role)));
  const oids = new Set(heard.map(({ change }) => change.relation.oid));
  const tables = await readTables(sql, [...oids], [...roles]);
  const rows = heard.flatMap((one): Row[] => {
    const table = tables.get(one.change.relation.oid);
    return table ? [rowOf(one, table)] : [];
  });
  const [json, holds] = await Promise.all([
    JsonValues.read(
      sql,
      rows.flatMap(({ after, before }) => [...after.values(), ...before.values()]),
    ),
    compare(sql, rows.flatMap((row) => row.hearers.flatMap((h) => comparisonsOf(row, h) ?? []))),
  ]);
  const wanting = rows.map((row) => ({
    row,
    hearers: row.hearers.filter((hearer) =>
      faultOf(row, hearer) !== undefined || (comparisonsOf(row, hearer)?.every(holds) ?? false)
    ),
  }));
  const mayKnow = await checkVisible(sql, wanting);
  for (const { row, hearers } of wanting) {
    deliver(row, hearers.filter((hearer) => mayKnow(row, hearer)), json);
  }
}

function rowOf(heard: HeardChange, table: CatalogTable): Row {
  const { relation, after: afterTuple, before: beforeTuple, isKeyOnly } = heard.change;
  const values = (tuple: Tuple | undefined, keyOnly = false) =>
    new Map(relation.columns.flatMap((column, i): [string, RowValue][] => {
      const text = tuple?.[i];
      return text === undefined || (keyOnly && !column.isKey)
        ? []
        : [[column.name, { column, text }]];
    }));
  const after = values(afterTuple);
  // An UPDATE that left the key as it was says so by not telling the row before.
  const before = heard.change.type === "UPDATE" && !beforeTuple
    ? values(afterTuple, true)
    : values(beforeTuple, isKeyOnly);
  if (afterTuple) {
    for (const [name, value] of before) if (!after.has(name)) after.set(name, value);
  }
  const keyNames = [...table.columns.values()].filter(({ isKey }) => isKey).map(({ name }) => name);
  const key = keyNames.flatMap((name) => after.get(name) ?? []);
  const bytes = [...after.values(), ...before.values()]
    .reduce((sum, { text }) => sum + (text === null ? 0 : Buffer.byteLength(text)), 0);
  return {
    ...heard,
    ...{ table, after, before },
    key: keyNames.length > 0 && key.length === keyNames.length ? key : undefined,
    isTooLarge: bytes > MAX_ROW_BYTES,
  };
}

/** The comparisons that must hold; undefined when a value is missing, or the role may not read it. */
function comparisonsOf(
  { change, table, after, before }: Row,
  { binding, subscriber }: Hearer,
): Comparison[] | undefined {
  const values = change.type === "DELETE" ? before : after;
  const comparisons: Comparison[] = [];
  for (const filter of binding.filters) {
    const column = table.columns.get(filter.column);
    const value = values.get(filter.column);
    if (!value || !column?.readers.has(subscriber.role)) return undefined;
    comparisons.push({ filter, type: column.comparedType, text: value.text });
  }
  return comparisons;
}

/** Why a change cannot be told to somebody in full, or at all; whatever their filter. */
function faultOf({ change, table, key }: Row, { subscriber }: Hearer): string | undefined {
  if (change.type === "DELETE") return undefined;
  if (!key) return "Error 400: Bad Request, no primary key";
  const mayRead = key.every(({ column }) =>
    table.columns.get(column.name)!.readers.has(subscriber.role)
  );
  return mayRead ? undefined : "Error 401: Unauthorized";
}

/** Number of transactions that look at rows at a time. */
const CHECKS = 4;

/** Looks at all rows that policies protect, for each role and claims once. */
async function checkVisible(
  sql: postgres.Sql,
  wanting: { row: Row; hearers: Hearer[] }[],
): Promise<(row: Row, hearer: Hearer) => boolean> {
  const isChecked = (row: Row, hearer: Hearer) =>
    row.table.hasRowSecurity && row.change.type !== "DELETE" && faultOf(row, hearer) === undefined;
  const keys = new Map<ChangeSubscriber, string>();
  const keyOf = (subscriber: ChangeSubscriber) => {
    const { role, claims, headers } = subscriber;
    const key = keys.get(subscriber) ?? JSON.stringify([role, claims, headers]);
    keys.set(subscriber, key);
    return key;
  };
  const questions = new Map<string, { subscriber: ChangeSubscriber; rows: Set<Row> }>();
  for (const { row, hearers } of wanting) {
    for (const hearer of hearers.filter((h) => isChecked(row, h))) {
      const key = keyOf(hearer.subscriber);
      const question = questions.get(key) ?? { subscriber: hearer.subscriber, rows: new Set() };
      questions.set(key, question);
      question.rows.add(row);
    }
  }
  const visible = new Map<string, Set<KeyedRow>>();
  const waiting = [...questions];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [key, { subscriber, rows }] = next;
      visible.set(key, await visibleRows(sql, subscriber, [...rows].map((row) => row as KeyedRow)));
    }
  };
  await Promise.all(Array.from({ length: CHECKS }, work));
  return (row, hearer) =>
    !isChecked(row, hearer) ||
    (visible.get(keyOf(hearer.subscriber))?.has(row as KeyedRow) ?? false);
}

/** Hands a change to channels, each once for all of its bindings that want the same columns. */
function deliver(row: Row, hearers: Hearer[], json: JsonValues): void {
  const data = new Map<string, Record<string, unknown>>();
  for (const [subscription, own] of Map.groupBy(hearers, (h) => h.subscription)) {
    for (const [select, same] of Map.groupBy(own, (h) => h.binding.select?.join("\n") ?? "")) {
      if (subscription.isClosed) continue;
      const hearer = same[0]!;
      const key = JSON.stringify([hearer.subscriber.role, select]);
      const message = data.get(key) ?? describeChange(row, hearer, json);
      data.set(key, message);
      try {
        subscription.deliver({ ids: same.map(({ binding }) => binding.id), data: message });
      } catch (error) {
        console.error(`Realtime: A change was not delivered: ${describeError(error)}`);
      }
    }
  }
}

/** A change as clients read it. */
function describeChange(row: Row, hearer: Hearer, json: JsonValues): Record<string, unknown> {
  const { change: { type, relation: { schema, table: name } }, commit, table } = row;
  const fault = faultOf(row, hearer);
  if (fault) return { schema, table: name, type, errors: [fault] };
  const { subscriber: { role }, binding: { select } } = hearer;
  const columns = [...table.columns.values()].filter(({ readers, isKey, name }) =>
    readers.has(role) && (!select || isKey || select.includes(name))
  );
  const record = (values: Map<string, RowValue>, keyOnly = false) =>
    Object.fromEntries(columns.flatMap(({ name, isKey }): [string, unknown][] => {
      const value = values.get(name);
      if (!value || (keyOnly && !isKey)) return [];
      const member = json.of(value);
      const isLeftOut = member === undefined || (row.isTooLarge && !isSmall(member));
      return isLeftOut ? [] : [[name, member]];
    }));
  return {
    schema,
    table: name,
    commit_timestamp: new Date(Number(commit.time / 1000n)).toISOString(),
    type,
    columns: columns.map(({ name, typeName }) => ({ name, type: typeName })),
    ...(type === "DELETE" ? {} : { record: record(row.after) }),
    ...(type === "INSERT"
      ? {}
      : { old_record: record(row.before, type === "DELETE" && table.hasRowSecurity) }),
    errors: row.isTooLarge ? ["Error 413: Payload Too Large"] : null,
  };
}

function isSmall(value: unknown): boolean {
  return value !== null && Buffer.byteLength(JSON.stringify(value)) <= MAX_KEPT_BYTES;
}
