// What can be done to buckets.

import { z } from "zod";
import { type Actor, asService, type Database } from "./database.ts";
import { alreadyExists, bucketNotEmpty, noSuchBucket, StorageError } from "./errors.ts";
import { checkBucketName, checkMimeTypeList, parseSizeLimit } from "./limits.ts";

const Settings = z.object({
  public: z.boolean().optional(),
  file_size_limit: z.union([z.int().min(0), z.string()]).nullish(),
  allowed_mime_types: z.array(z.string()).nullish(),
});

/** Body of `POST /bucket`. */
export const CreateBucketBody = Settings.extend({
  id: z.string().optional(),
  name: z.string(),
  type: z.literal("STANDARD").optional(),
  versioning_status: z.literal("DISABLED").optional(),
});

/** Body of `PUT /bucket/:id`. */
export const UpdateBucketBody = Settings.extend({
  versioning_status: z.literal("SUSPENDED").optional(),
});

/** Query of `GET /bucket`. */
export const ListBucketsQuery = z.object({
  limit: z.coerce.number().int().min(1).optional(),
  offset: z.coerce.number().int().min(0).default(0),
  search: z.string().default(""),
  sortColumn: z.enum(["id", "name", "created_at", "updated_at"]).default("id"),
  sortOrder: z.enum(["asc", "desc"]).default("asc"),
});

interface BucketRow {
  id: string;
  name: string;
  owner: string | null;
  public: boolean;
  type: string;
  file_size_limit: number | null;
  allowed_mime_types: string[] | null;
  created_at: Date;
  updated_at: Date;
}

/** All buckets; every statement meets RLS. */
export class Buckets {
  constructor(readonly db: Database) {}

  /** Creates a bucket that the caller owns. */
  async create(actor: Actor, body: z.infer<typeof CreateBucketBody>): Promise<void> {
    const id = body.id ?? body.name;
    checkBucketName(id);
    checkBucketName(body.name);
    const { file_size_limit = null, allowed_mime_types = null } = columnsOf(body);
    const owner = actor.caller.userId ?? null;
    try {
      await this.db.run(actor, (tx) =>
        tx`
          insert into storage.buckets
            (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)
          values (${id}, ${body.name}, ${owner}, ${owner}, ${body.public ?? false},
                  ${file_size_limit}, ${allowed_mime_types})`);
    } catch (error) {
      const taken = error instanceof StorageError && error.code === "ResourceAlreadyExists";
      throw taken ? alreadyExists("BucketAlreadyExists") : error;
    }
  }

  /** Reads the buckets that the caller may see. */
  async list(actor: Actor, query: z.infer<typeof ListBucketsQuery>): Promise<BucketRow[]> {
    const { limit, offset, search, sortColumn, sortOrder } = query;
    return await this.db.run(actor, async (tx) => {
      const rows = await tx<BucketRow[]>`
        select b.id, b.name, b.owner, b.public, b.type, b.file_size_limit, b.allowed_mime_types,
               b.created_at, b.updated_at
        from storage.buckets as b
        where strpos(lower(b.name), lower(${search})) > 0 or ${search} = ''
        order by ${tx(sortColumn)} ${sortOrder === "asc" ? tx`asc` : tx`desc`}, b.id
        limit ${limit ?? null} offset ${offset}`;
      return rows.map(withNumber);
    });
  }

  /** Reads one bucket; throws when there is none that the caller may see. */
  async get(actor: Actor, id: string): Promise<BucketRow> {
    const [row] = await this.db.run(actor, (tx) =>
      tx<BucketRow[]>`
        select b.id, b.name, b.owner, b.public, b.type, b.file_size_limit, b.allowed_mime_types,
               b.created_at, b.updated_at
        from storage.buckets as b where b.id = ${id}`);
    if (!row) throw noSuchBucket();
    return withNumber(row);
  }

  /** Changes what the body names and leaves the rest. */
  async update(actor: Actor, id: string, body: z.infer<typeof UpdateBucketBody>): Promise<void> {
    const { public: isPublic, file_size_limit, allowed_mime_types } = columnsOf(body);
    const { count } = await this.db.run(actor, (tx) =>
      tx`
        update storage.buckets set
          public = coalesce(${isPublic ?? null}, public),
          file_size_limit =
            ${file_size_limit === undefined ? tx`file_size_limit` : file_size_limit},
          allowed_mime_types =
            ${allowed_mime_types === undefined ? tx`allowed_mime_types` : allowed_mime_types},
          updated_at = now()
        where id = ${id}`);
    if (count === 0) throw noSuchBucket();
  }

  /** Deletes a bucket; throws when it is not empty, or not the caller's to delete. */
  async remove(actor: Actor, id: string): Promise<void> {
    const [used] = await this.db.run(asService(actor), (tx) =>
      tx`
        select exists (select 1 from storage.objects as o where o.bucket_id = b.id) as used
        from storage.buckets as b where b.id = ${id}`);
    if (!used) throw noSuchBucket();
    if (used.used) throw bucketNotEmpty();
    // An object that arrives now holds the bucket by its foreign key.
    const { count } = await this.db.run(
      actor,
      (tx) => tx`delete from storage.buckets as b where b.id = ${id}`,
    );
    if (count === 0) throw noSuchBucket();
  }
}

/** What a body changes, checked, as column values. */
function columnsOf(body: z.infer<typeof Settings>) {
  const changes: {
    public?: boolean;
    file_size_limit?: number | null;
    allowed_mime_types?: string[] | null;
  } = {};
  if (body.public !== undefined) changes.public = body.public;
  if (body.file_size_limit !== undefined) {
    changes.file_size_limit = body.file_size_limit === null
      ? null
      : parseSizeLimit(body.file_size_limit);
  }
  if (body.allowed_mime_types !== undefined) {
    const types = body.allowed_mime_types?.filter((type) => type !== "") ?? null;
    checkMimeTypeList(types ?? []);
    changes.allowed_mime_types = types;
  }
  return changes;
}

/** The driver gives a bigint as text. */
function withNumber(row: BucketRow): BucketRow {
  const { file_size_limit } = row;
  return { ...row, file_size_limit: file_size_limit === null ? null : Number(file_size_limit) };
}
