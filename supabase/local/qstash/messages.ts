// Messages and dead letters after they were published: read, cancelled, deleted, tried again.

import { conditions, nextCursor, readPage } from "./filters.ts";
import { notFound } from "./errors.ts";
import { publish, type Published, type PublishSettings } from "./publish.ts";
import { log, type MessageRow, type Sql } from "./store.ts";
import { type LogRow, viewLog, viewMessage } from "./views.ts";

/** A message that is not delivered yet. */
export async function getMessage(sql: Sql, id: string) {
  const [row] = await sql<MessageRow[]>`
    select * from _qstash.messages where id = ${id} and state <> 'dead'`;
  if (!row) throw notFound("Message");
  return viewMessage(row);
}

/** Cancels messages; one that is being delivered may arrive still, but is not tried again. */
export async function cancelMessages(
  sql: Sql,
  query: URLSearchParams,
  now: number,
): Promise<number> {
  return await sql.begin(async (tx) => {
    const rows = await tx<MessageRow[]>`
      delete from _qstash.messages as t
      where t.state <> 'dead' and ${conditions(tx, query, { messageIds: "id" })}
      returning t.*`;
    for (const row of rows) {
      await log(tx, row, "CANCEL_REQUESTED", now);
      await log(tx, row, "CANCELED", now);
    }
    return rows.length;
  });
}

/** A page of dead letters. */
export async function listDead(sql: Sql, query: URLSearchParams) {
  const { count, before } = readPage(query);
  const rows = await sql<MessageRow[]>`
    select t.* from _qstash.messages as t
    where t.state = 'dead' and t.seq < ${before} and ${conditions(sql, query, DEAD_IDS)}
    order by t.seq desc limit ${count + 1}`;
  return { messages: rows.slice(0, count).map(viewMessage), ...nextCursor(rows, count) };
}

const DEAD_IDS = { dlqIds: "dlq_id", messageId: "id" };

/** Deletes dead letters, a page of them. */
export async function deleteDead(sql: Sql, query: URLSearchParams) {
  const { count, before } = readPage(query);
  const rows = await sql<{ seq: number }[]>`
    select t.seq from _qstash.messages as t
    where t.state = 'dead' and t.seq < ${before} and ${conditions(sql, query, DEAD_IDS)}
    order by t.seq desc limit ${count + 1}`;
  const chosen = rows.slice(0, count).map(({ seq }) => seq);
  const deleted = await sql`
    delete from _qstash.messages where seq = any (${chosen}) and state = 'dead'`;
  return { deleted: deleted.count, ...nextCursor(rows, count) };
}

/** Publishes dead letters again, a page of them, as new messages. */
export async function retryDead(
  sql: Sql,
  query: URLSearchParams,
  settings: PublishSettings,
  now: number,
) {
  const { count, before } = readPage(query);
  return await sql.begin(async (tx) => {
    const rows = await tx<MessageRow[]>`
      select t.* from _qstash.messages as t
      where t.state = 'dead' and t.seq < ${before} and ${conditions(tx, query, DEAD_IDS)}
      order by t.seq desc limit ${count + 1}
      for update skip locked`;
    const responses: { messageId: string }[] = [];
    for (const row of rows.slice(0, count)) {
      await tx`delete from _qstash.messages where id = ${row.id}`;
      // What held it back the first time does not hold any more.
      const source = { ...row.source };
      delete source["upstash-delay"];
      delete source["upstash-not-before"];
      delete source["upstash-deduplication-id"];
      delete source["upstash-content-based-deduplication"];
      const published = await publish(
        tx,
        {
          destination: row.url,
          source,
          body: new Uint8Array(row.body),
          callerIp: row.caller_ip,
          isCallback: row.is_callback,
          ...(row.queue_name === null ? {} : { queueName: row.queue_name }),
          ...(row.schedule_id === null ? {} : { scheduleId: row.schedule_id }),
        },
        settings,
        now,
      ) as Published;
      await tx`
        update _qstash.messages
        set topic_name = ${row.topic_name}, endpoint_name = ${row.endpoint_name}
        where id = ${published.messageId}`;
      responses.push({ messageId: published.messageId });
    }
    return { responses, ...nextCursor(rows, count) };
  });
}

/** A page of the log. */
export async function listLogs(sql: Sql, query: URLSearchParams) {
  const { count, before } = readPage(query);
  const ids = { messageIds: "message_id", messageId: "message_id" };
  const rows = await sql<LogRow[]>`
    select t.* from _qstash.logs as t
    where t.seq < ${before} and ${conditions(sql, query, ids)}
    order by t.seq desc limit ${count + 1}`;
  return { events: rows.slice(0, count).map(viewLog), ...nextCursor(rows, count) };
}
