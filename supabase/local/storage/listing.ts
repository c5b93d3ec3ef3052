// Lists of objects: by folder and page (`list`), and by prefix and cursor (`list-v2`).

import { z } from "zod";
import type { Actor, Database } from "./database.ts";
import { invalidRequest } from "./errors.ts";

/** Listings of versions, which the embedded Storage does not keep, must not be asked for. */
const currentOnly = {
  noncurrentVersions: z.literal("exclude").optional(),
  deleteMarkers: z.literal("exclude").optional(),
  exactMatch: z.literal(false).optional(),
};

const order = z.enum(["asc", "desc"]).default("asc");

/** Body of `POST /object/list/:bucket`. */
export const ListBody = z.object({
  prefix: z.string(),
  limit: z.int().min(1).default(100),
  offset: z.int().min(0).default(0),
  search: z.string().default(""),
  sortBy: z.object({
    column: z.enum(["name", "updated_at", "created_at", "last_accessed_at"]),
    order,
  }).default({ column: "name", order: "asc" }),
  ...currentOnly,
});

/** Body of `POST /object/list-v2/:bucket`. */
export const ListV2Body = z.object({
  prefix: z.string().default(""),
  limit: z.int().min(1).transform((limit) => Math.min(limit, 1000)).default(1000),
  cursor: z.string().optional(),
  with_delimiter: z.boolean().default(false),
  sortBy: z.object({ column: z.enum(["name", "updated_at", "created_at"]), order })
    .default({ column: "name", order: "asc" }),
  ...currentOnly,
});

/** Where the next page begins; text of a cursor, in base64. */
const Cursor = z.object({
  after: z.string(),
  at: z.string().nullable(),
  column: z.enum(["name", "updated_at", "created_at"]),
  order: z.enum(["asc", "desc"]),
});

interface Entry {
  name: string;
  id: string | null;
  updated_at: Date | null;
  created_at: Date | null;
  last_accessed_at: Date | null;
  metadata: unknown;
}

/** Lists one folder: its objects, and as rows without id its folders. */
export async function listFolder(
  db: Database,
  actor: Actor,
  bucket: string,
  body: z.infer<typeof ListBody>,
): Promise<Entry[]> {
  const { limit, offset, search, sortBy } = body;
  const prefix = text(
    body.prefix === "" || body.prefix.endsWith("/") ? body.prefix : `${body.prefix}/`,
  );
  const level = prefix.split("/").length;
  return await db.run(actor, (tx) =>
    tx<Entry[]>`
      select s.name, s.id, s.updated_at, s.created_at, s.last_accessed_at, s.metadata
      from storage.search(${prefix}, ${bucket}, ${limit}, ${level}, ${offset}, ${text(search)},
                          ${sortBy.column}, ${sortBy.order}) as s`);
}

/** Lists what has a prefix, in pages; with a delimiter, folders stand for what is in them. */
export async function listByPrefix(
  db: Database,
  actor: Actor,
  bucket: string,
  body: z.infer<typeof ListV2Body>,
) {
  const { limit, with_delimiter } = body;
  const prefix = text(body.prefix);
  const cursor = body.cursor === undefined ? undefined : decodeCursor(body.cursor);
  const { column, order } = cursor ?? body.sortBy;
  const rows = await db.run(actor, (tx) => {
    // A folder is as old as its oldest object. Milliseconds, because the cursor has no more.
    const at = column === "name"
      ? tx`''`
      : tx`to_char(e.${tx(column)} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS')`;
    const compare = order === "asc" ? tx`>` : tx`<`;
    const direction = order === "asc" ? tx`asc` : tx`desc`;
    const page = cursor
      ? tx`where (${at} collate "C", e.name collate "C")
           ${compare} (${cursor.at ?? ""} collate "C", ${cursor.after} collate "C")`
      : tx``;
    return tx<(Entry & { at: string })[]>`
      with matching as (
        select o.*,
               case when ${with_delimiter}
                 then nullif(strpos(substr(o.name, length(${prefix}) + 1), '/'), 0)
               end as folder_length
        from storage.objects as o
        where o.bucket_id = ${bucket} and o.name collate "C" ^@ ${prefix}
      ),
      entries as (
        select left(m.name, length(${prefix}) + m.folder_length) as name, null::uuid as id,
               min(m.created_at) as updated_at, min(m.created_at) as created_at,
               null::timestamptz as last_accessed_at, null::jsonb as metadata
        from matching as m
        where m.folder_length is not null
        group by 1
        union all
        select m.name, m.id, m.updated_at, m.created_at, m.last_accessed_at, m.metadata
        from matching as m
        where m.folder_length is null
      )
      select e.name, e.id, e.updated_at, e.created_at, e.last_accessed_at, e.metadata, ${at} as at
      from entries as e
      ${page}
      order by ${at} collate "C" ${direction}, e.name collate "C" ${direction}
      limit ${limit + 1}`;
  });
  const entries = rows.slice(0, limit);
  const last = entries.at(-1);
  const hasNext = rows.length > limit;
  return {
    hasNext,
    folders: entries.filter((entry) => entry.id === null)
      .map(({ name, updated_at, created_at }) => ({
        ...{ name, key: lastSegment(name), updated_at, created_at },
      })),
    objects: entries.filter((entry) => entry.id !== null)
      .map(({ at: _at, ...entry }) => ({ ...entry, key: lastSegment(entry.name) })),
    ...(hasNext && last
      ? { nextCursor: encodeCursor({ after: last.name, at: last.at, column, order }) }
      : {}),
  };
}

function lastSegment(name: string): string {
  return name.replace(/\/$/, "").split("/").at(-1) ?? "";
}

/** What the database can take: a name with other letters exists nowhere. */
function text(value: string): string {
  return value.toWellFormed().replaceAll("\0", "\ufffd");
}

function encodeCursor(cursor: z.infer<typeof Cursor>): string {
  return new TextEncoder().encode(JSON.stringify(cursor)).toBase64();
}

function decodeCursor(cursor: string): z.infer<typeof Cursor> {
  try {
    return Cursor.parse(JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(cursor))));
  } catch {
    throw invalidRequest("Invalid Parameter continuation token");
  }
}
