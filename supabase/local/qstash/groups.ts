// Queues and URL groups: what messages wait in, and names that stand for several destinations.

import { z } from "zod";
import { invalid, notFound } from "./errors.ts";
import { isUrl, NAME } from "./options.ts";
import { cancelMessages } from "./messages.ts";
import type { Sql } from "./store.ts";
import { type QueueRow, viewQueue } from "./views.ts";

const QueueBody = z.object({
  queueName: z.string().regex(NAME),
  parallelism: z.int().min(1).max(1000).default(1),
  paused: z.boolean().default(false),
});
const EndpointsBody = z.object({
  endpoints: z.array(z.object({ url: z.string().optional(), name: z.string().optional() })).min(1),
});

function parse<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw invalid(`${issue!.path.join(".") || "Body"}: ${issue!.message}`);
}

/** Makes a queue, or changes it. */
export async function putQueue(sql: Sql, value: unknown, now: number): Promise<void> {
  const { queueName, parallelism, paused } = parse(QueueBody, value);
  await sql`
    insert into _qstash.queues (name, parallelism, is_paused, created_at, updated_at)
    values (${queueName}, ${parallelism}, ${paused}, ${now}, ${now})
    on conflict (name) do update
    set parallelism = excluded.parallelism, is_paused = excluded.is_paused,
        updated_at = excluded.updated_at`;
}

/** All queues, or the one of that name. */
export async function listQueues(sql: Sql, name?: string) {
  const rows = await sql<QueueRow[]>`
    select q.*, (
      select count(*) from _qstash.messages as m
      where m.queue_name = q.name and m.state <> 'dead'
    ) as lag
    from _qstash.queues as q
    where ${name ?? null}::text is null or q.name = ${name ?? null}
    order by q.name`;
  if (name !== undefined && rows.length === 0) throw notFound("Queue");
  return rows.map(viewQueue);
}

/** Pauses a queue or lets it go on; what is being delivered is not held up. */
export async function pauseQueue(
  sql: Sql,
  name: string,
  isPaused: boolean,
  now: number,
): Promise<void> {
  const { count } = await sql`
    update _qstash.queues set is_paused = ${isPaused}, updated_at = ${now} where name = ${name}`;
  if (count === 0) throw notFound("Queue");
}

/** Deletes a queue and cancels what waits in it. */
export async function deleteQueue(sql: Sql, name: string, now: number): Promise<void> {
  await cancelMessages(sql, new URLSearchParams({ queueName: name }), now);
  await sql`delete from _qstash.queues where name = ${name}`;
}

/** Adds endpoints to a URL group, which is made when missing. */
export async function addEndpoints(
  sql: Sql,
  name: string,
  value: unknown,
  now: number,
): Promise<void> {
  if (!NAME.test(name)) throw invalid('URL groups may have letters, digits, "-", "." and "_"');
  const { endpoints } = parse(EndpointsBody, value);
  await sql.begin(async (tx) => {
    await tx`
      insert into _qstash.url_groups (name, created_at, updated_at)
      values (${name}, ${now}, ${now})
      on conflict (name) do update set updated_at = excluded.updated_at`;
    for (const endpoint of endpoints) {
      if (!endpoint.url || !isUrl(endpoint.url)) {
        throw invalid("url must begin with http:// or https://");
      }
      await tx`
        insert into _qstash.endpoints (group_name, url, name)
        values (${name}, ${endpoint.url}, ${endpoint.name ?? null})
        on conflict (group_name, url) do update set name = excluded.name`;
    }
  });
}

/** Removes endpoints by name or address; a URL group without any is removed too. */
export async function removeEndpoints(
  sql: Sql,
  name: string,
  value: unknown,
  now: number,
): Promise<void> {
  const { endpoints } = parse(EndpointsBody, value);
  await sql.begin(async (tx) => {
    const { count } = await tx`
      update _qstash.url_groups set updated_at = ${now} where name = ${name}`;
    if (count === 0) throw notFound("URL group");
    for (const endpoint of endpoints) {
      await tx`
        delete from _qstash.endpoints
        where group_name = ${name}
          and (url = ${endpoint.url ?? null} or name = ${endpoint.name ?? null})`;
    }
    await tx`
      delete from _qstash.url_groups as g
      where g.name = ${name}
        and not exists (select from _qstash.endpoints as e where e.group_name = g.name)`;
  });
}

/** All URL groups, or the one of that name. */
export async function listUrlGroups(sql: Sql, name?: string) {
  const groups = await sql<{ name: string; created_at: number; updated_at: number }[]>`
    select * from _qstash.url_groups
    where ${name ?? null}::text is null or name = ${name ?? null}
    order by name`;
  if (name !== undefined && groups.length === 0) throw notFound("URL group");
  const endpoints = await sql<{ group_name: string; url: string; name: string | null }[]>`
    select group_name, url, name from _qstash.endpoints order by seq`;
  return groups.map((group) => ({
    name: group.name,
    createdAt: group.created_at,
    updatedAt: group.updated_at,
    endpoints: endpoints.filter(({ group_name }) => group_name === group.name)
      .map(({ url, name }) => name === null ? { url } : { url, name }),
  }));
}

/** Removes a URL group. */
export async function deleteUrlGroup(sql: Sql, name: string): Promise<void> {
  await sql`delete from _qstash.url_groups where name = ${name}`;
}
