// The filters by which messages, dead letters and log entries are chosen. Values of one filter are
// alternatives; filters are all to be met.

import type postgres from "postgres";
import { invalid } from "./errors.ts";
import type { Sql, Tx } from "./store.ts";

type Fragment = postgres.PendingQuery<postgres.Row[]>;

/** Filters over columns that messages and log entries have in common, by their names in a query. */
const COLUMNS: Record<string, string> = {
  url: "url",
  topicName: "topic_name",
  queueName: "queue_name",
  scheduleId: "schedule_id",
  callerIp: "caller_ip",
  flowControlKey: "flow_control_key",
  state: "state",
};
const NUMBER_COLUMNS: Record<string, string> = { responseStatus: "response_status" };

const MAX_COUNT = 1000;

/**
 * A condition for `where`, over a table whose alias is `t`.
 *
 * @param idColumns Columns of ids by the names of their filters, such as `messageIds`.
 */
export function conditions(
  sql: Sql | Tx,
  query: URLSearchParams,
  idColumns: Record<string, string>,
): Fragment {
  let all = sql`true`;
  const and = (condition: Fragment) => all = sql`${all} and ${condition}`;
  const equals = (names: Record<string, string>, numbers: boolean) => {
    for (const [name, column] of Object.entries(names)) {
      const values = query.getAll(name);
      if (values.length === 0) continue;
      const list = numbers ? values.map((value) => integer(name, value)) : values;
      and(sql`t.${sql(column)} in ${sql(list)}`);
    }
  };
  equals(idColumns, false);
  equals(COLUMNS, false);
  equals(NUMBER_COLUMNS, true);
  if (query.has("label")) and(sql`t.labels && ${query.getAll("label")}::text[]`);
  if (query.has("host")) {
    and(sql`substring(t.url from '^[a-zA-Z]+://([^/?#]+)') in ${sql(query.getAll("host"))}`);
  }
  if (query.has("path")) {
    and(sql`substring(t.url from '^[a-zA-Z]+://[^/?#]+([^?#]*)') in ${sql(query.getAll("path"))}`);
  }
  const from = query.get("fromDate");
  const to = query.get("toDate");
  if (from !== null) and(sql`t.created_at >= ${integer("fromDate", from)}`);
  if (to !== null) and(sql`t.created_at <= ${integer("toDate", to)}`);
  return all;
}

/** A page of rows, newest first: how many, and before which number. */
export function readPage(query: URLSearchParams): { count: number; before: number } {
  const count = query.get("count");
  const cursor = query.get("cursor");
  return {
    count: count === null ? 100 : Math.min(MAX_COUNT, Math.max(1, integer("count", count))),
    before: cursor ? integer("cursor", cursor) : Number.MAX_SAFE_INTEGER,
  };
}

/** The cursor for the next page, when there is one. */
export function nextCursor(rows: { seq: number }[], count: number): { cursor?: string } {
  const last = rows.at(count - 1);
  return rows.length > count && last ? { cursor: String(last.seq) } : {};
}

function integer(name: string, text: string): number {
  const value = Number(text);
  if (/^\d{1,15}$/.test(text)) return value;
  throw invalid(`${name} must be an integer`);
}
