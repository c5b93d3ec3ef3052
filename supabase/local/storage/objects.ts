// What can be done to objects. A row and its file agree after a crash at any point: the file is
// complete under a name of its own before its row is written, and an older file goes only after the
// row that named it is gone for good. What a crash leaves in between is a file without a row, which
// the next start removes.

import type { Blobs, OpenBlob } from "./blobs.ts";
import { SERVICE } from "./caller.ts";
import { type Actor, asService, type Database, type ObjectName, type Tx } from "./database.ts";
import {
  accessDenied,
  alreadyExists,
  locked,
  noSuchBucket,
  noSuchKey,
  StorageError,
} from "./errors.ts";
import { checkDeclaredSize, type Incoming, type UserMetadata } from "./incoming.ts";
import { type BucketLimits, checkKey, checkMimeType, isValidKey, sizeLimit } from "./limits.ts";

/** What storage.objects.metadata holds, as on hosted Supabase. */
export type ObjectMetadata = {
  /** MD5 in quotes. */
  eTag: string;
  /** Bytes. */
  size: number;
  mimetype: string;
  cacheControl: string;
  /** ISO 8601, UTC. */
  lastModified: string;
  contentLength: number;
  httpStatusCode: number;
  contentEncoding?: string;
};

/** One row of storage.objects. */
export interface ObjectRow {
  id: string;
  bucket_id: string;
  name: string;
  owner: string | null;
  owner_id: string | null;
  version: string | null;
  created_at: Date;
  updated_at: Date;
  last_accessed_at: Date;
  metadata: Partial<ObjectMetadata> | null;
  user_metadata: UserMetadata | null;
}

/** A bucket as downloads and uploads see it. */
export interface Bucket extends BucketLimits {
  public: boolean;
}

/** Options of {@link Objects.copy}. */
export interface CopyOptions {
  upsert: boolean;
  /** Whether the copy keeps all metadata of the original. */
  copyMetadata: boolean;
  /** What it has instead. */
  metadata?: { cacheControl?: string; mimetype?: string; contentEncoding?: string };
  userMetadata?: UserMetadata;
}

/** A row to be written. */
interface NewObject extends ObjectName {
  id: string;
  version: string;
  ownerId?: string;
  metadata: Partial<ObjectMetadata>;
  userMetadata?: UserMetadata;
}

/** The objects of all buckets. */
export class Objects {
  /** @param now Clock, milliseconds since the epoch. */
  constructor(
    readonly db: Database,
    readonly blobs: Blobs,
    readonly now: () => number,
  ) {}

  /** Reads a bucket past RLS; throws when there is none. */
  async bucket(actor: Actor, id: string): Promise<Bucket> {
    const [row] = await this.db.run(
      asService(actor),
      (tx) =>
        tx<{ public: boolean | null; limit: string | null; types: string[] | null }[]>`
        select b.public, b.file_size_limit as limit, b.allowed_mime_types as types
        from storage.buckets as b where b.id = ${id}`,
    );
    if (!row) throw noSuchBucket();
    return {
      public: row.public ?? false,
      fileSizeLimit: row.limit === null ? null : Number(row.limit),
      allowedMimeTypes: row.types,
    };
  }

  /** Reads an object's row; throws when there is none that the caller may see. */
  async find(actor: Actor, { bucket, key }: ObjectName): Promise<ObjectRow> {
    checkKey(key);
    const [row] = await this.db.run(actor, (tx) =>
      tx<ObjectRow[]>`
        select ${columns(tx)} from storage.objects as o
        where o.bucket_id = ${bucket} and o.name = ${key}`);
    if (!row) throw noSuchKey();
    return row;
  }

  /** Opens an object's bytes; throws when there is none that the caller may see. */
  async open(actor: Actor, name: ObjectName): Promise<{ row: ObjectRow; blob: OpenBlob }> {
    // Between the row and the file an overwrite may take the file away: then the row is new, too.
    for (let attempt = 0; attempt < 5; attempt++) {
      const row = await this.find(actor, name);
      const blob = row.version && await this.blobs.open(name.bucket, row.version);
      if (blob) return { row, blob };
    }
    throw noSuchKey();
  }

  /** Which of the keys name objects that the caller may see. */
  async visible(actor: Actor, bucket: string, keys: string[]): Promise<Set<string>> {
    const rows = await this.db.run(actor, (tx) =>
      tx<{ name: string }[]>`
        select o.name from storage.objects as o
        where o.bucket_id = ${bucket} and o.name = any (${keys.filter(isValidKey)})`);
    return new Set(rows.map((row) => row.name));
  }

  /**
   * Stores an upload. Limits, type and rights are checked before the bytes are read, and the rights
   * once more when the row is written.
   *
   * @param receive Starts reading the request.
   * @param options.ownerId Who will own the object.
   * @returns Id of the object.
   */
  async upload(
    actor: Actor,
    name: ObjectName,
    receive: () => Promise<Incoming>,
    options: { upsert: boolean; ownerId?: string },
  ): Promise<string> {
    const { bucket, key } = name;
    const { upsert, ownerId } = options;
    checkKey(key);
    const limits = await this.bucket(actor, bucket);
    const limitBytes = sizeLimit(limits, key);
    using incoming = await receive();
    checkMimeType(limits, key, incoming.mimeType);
    checkDeclaredSize(incoming.declared, limitBytes);
    const announced: Partial<ObjectMetadata> = { mimetype: incoming.mimeType };
    if (incoming.declared) announced.contentLength = incoming.declared.size;
    await this.mayWrite(actor, name, { upsert, ownerId, metadata: announced });

    const { version, size, md5 } = await this.blobs.write(bucket, incoming.body, limitBytes);
    return await this.#keepIf(bucket, version, async () => {
      const { cacheControl, contentEncoding, userMetadata } = incoming.describe();
      const metadata: ObjectMetadata = {
        eTag: `"${md5}"`,
        size,
        mimetype: incoming.mimeType,
        cacheControl,
        lastModified: new Date(this.now()).toISOString(),
        contentLength: size,
        httpStatusCode: 200,
        ...(contentEncoding ? { contentEncoding } : {}),
      };
      const id = crypto.randomUUID();
      return await this.#put(
        actor,
        { bucket, key, id, version, ownerId, metadata, userMetadata },
        upsert,
      );
    });
  }

  /** Throws unless the caller may write this object; nothing is changed. */
  async mayWrite(
    actor: Actor,
    name: ObjectName,
    options: { upsert: boolean; ownerId?: string; metadata: Partial<ObjectMetadata> },
  ): Promise<void> {
    checkKey(name.key);
    const { upsert, ownerId, metadata } = options;
    const id = crypto.randomUUID();
    const object: NewObject = { ...name, id, version: id, ownerId, metadata };
    await this.db.rehearse(actor, (tx) => insert(tx, object, upsert));
  }

  /** Copies an object, into the same bucket or another; returns the id of the copy. */
  async copy(
    actor: Actor,
    from: ObjectName,
    to: ObjectName,
    options: CopyOptions,
  ): Promise<string> {
    const { upsert, copyMetadata } = options;
    const ownerId = actor.caller.userId;
    checkKey(to.key);
    const row = await this.find(actor, from);
    const metadata = {
      ...row.metadata,
      ...(copyMetadata ? {} : options.metadata),
      lastModified: new Date(this.now()).toISOString(),
    };
    checkFits(await this.bucket(actor, to.bucket), to.key, metadata);
    await this.mayWrite(actor, to, { upsert, ownerId, metadata });

    const version = row.version && await this.blobs.copy(from.bucket, row.version, to.bucket);
    if (!version) throw noSuchKey();
    const userMetadata = copyMetadata ? row.user_metadata ?? undefined : options.userMetadata;
    const id = crypto.randomUUID();
    return await this.#keepIf(
      to.bucket,
      version,
      () => this.#put(actor, { ...to, id, version, ownerId, metadata, userMetadata }, upsert),
    );
  }

  /** Gives an object another name, in the same bucket or another; returns its id. */
  async move(actor: Actor, from: ObjectName, to: ObjectName): Promise<string> {
    checkKey(to.key);
    const row = await this.find(actor, from);
    if (from.bucket !== to.bucket) await this.#moveAcross(actor, row, to);
    else if (from.key !== to.key) {
      // The file keeps its name; only the row changes.
      await this.db.writing(actor, [from, to], (tx) => rename(tx, actor, from, to));
    }
    return row.id;
  }

  async #moveAcross(actor: Actor, row: ObjectRow, to: ObjectName): Promise<void> {
    const from: ObjectName = { bucket: row.bucket_id, key: row.name };
    const old = row.version;
    checkFits(await this.bucket(actor, to.bucket), to.key, row.metadata ?? {});
    await this.db.rehearse(actor, (tx) => rename(tx, actor, from, to));
    const version = old && await this.blobs.copy(from.bucket, old, to.bucket);
    if (!version) throw noSuchKey();
    await this.#keepIf(
      to.bucket,
      version,
      () =>
        this.db.writing(actor, [from, to], async (tx, [present]) => {
          if (present?.version !== old) throw locked(); // overwritten while it was copied
          await rename(tx, actor, from, to, version);
        }),
    );
    await this.blobs.remove(from.bucket, old);
  }

  /** Deletes those of the named objects that the caller may delete; returns their rows. */
  async remove(actor: Actor, bucket: string, keys: string[]): Promise<ObjectRow[]> {
    const rows = await this.db.run(actor, (tx) =>
      tx<ObjectRow[]>`
        delete from storage.objects as o
        where o.bucket_id = ${bucket} and o.name = any (${keys.filter(isValidKey)})
        returning ${columns(tx)}`);
    await this.#forget(rows);
    return rows;
  }

  /** Deletes every object of a bucket; deletes none if the caller may delete only some. */
  async removeAll(actor: Actor, bucket: string): Promise<void> {
    const rows = await this.db.run(actor, async (tx) => {
      const [found] = await tx`select 1 from storage.buckets as b where b.id = ${bucket}`;
      if (!found) throw noSuchBucket();
      const deleted = await tx<ObjectRow[]>`
        delete from storage.objects as o where o.bucket_id = ${bucket} returning ${columns(tx)}`;
      const [left] = await tx`
        select 1 from storage.objects as o where o.bucket_id = ${bucket} limit 1`;
      if (left) throw accessDenied("Cannot delete: may see objects that it may not delete");
      return deleted;
    });
    await this.#forget(rows);
  }

  /** Removes the files that a crash left without a row; must not run beside requests. */
  async sweep(): Promise<number> {
    const actor: Actor = { caller: SERVICE, operation: "storage.sweep", method: "", path: "" };
    const buckets = await this.db.run(
      actor,
      (tx) => tx<{ id: string }[]>`select b.id from storage.buckets as b`,
    );
    return await this.blobs.sweep(buckets.map((bucket) => bucket.id), async (bucket) => {
      const rows = await this.db.run(actor, (tx) =>
        tx<{ version: string }[]>`
          select o.version from storage.objects as o
          where o.bucket_id = ${bucket} and o.version is not null`);
      return new Set(rows.map((row) => row.version));
    });
  }

  /** Writes the row of a new file, forgets the file that it replaces, and returns the row's id. */
  async #put(actor: Actor, object: NewObject, upsert: boolean): Promise<string> {
    const old = await this.db.writing(actor, [object], async (tx, [present]) => {
      await insert(tx, object, upsert);
      return present;
    });
    if (old?.version) await this.blobs.remove(object.bucket, old.version);
    return old?.id ?? object.id;
  }

  /**
   * Runs `work`, which writes the row of a new file. The file goes when the row was refused for
   * certain. When the connection broke, the row may be there: the file stays, and the next start
   * decides.
   */
  async #keepIf<T>(bucket: string, version: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof StorageError) await this.blobs.remove(bucket, version);
      throw error;
    }
  }

  async #forget(rows: ObjectRow[]): Promise<void> {
    for (const { bucket_id, version } of rows) {
      if (version) await this.blobs.remove(bucket_id, version);
    }
  }
}

/** Throws unless an object with this metadata may be in the bucket. */
function checkFits(bucket: Bucket, key: string, metadata: Partial<ObjectMetadata>): void {
  checkMimeType(bucket, key, metadata.mimetype ?? "");
  checkDeclaredSize({ size: metadata.size ?? 0, exact: true }, sizeLimit(bucket, key));
}

function columns(tx: Tx) {
  return tx`o.id, o.bucket_id, o.name, o.owner, o.owner_id, o.version, o.created_at, o.updated_at,
    o.last_accessed_at, o.metadata, o.user_metadata`;
}

/**
 * Inserts a row, or with `upsert` replaces it. Without RETURNING, which would ask for the right to
 * read: an upload does not need it.
 */
async function insert(tx: Tx, object: NewObject, upsert: boolean): Promise<void> {
  const { bucket, key, id, version, metadata, userMetadata } = object;
  const onConflict = upsert
    ? tx`on conflict (bucket_id, name) do update set
        version = excluded.version,
        metadata = excluded.metadata,
        user_metadata = coalesce(excluded.user_metadata, o.user_metadata),
        owner = coalesce(excluded.owner, o.owner),
        owner_id = coalesce(excluded.owner_id, o.owner_id)`
    : tx``;
  try {
    await tx`
      insert into storage.objects as o
        (id, bucket_id, name, owner, owner_id, version, metadata, user_metadata)
      values (${id}, ${bucket}, ${key}, ${asUuid(object.ownerId)}, ${object.ownerId ?? null},
              ${version}, ${tx.json(metadata)}, ${userMetadata ? tx.json(userMetadata) : null})
      ${onConflict}`;
  } catch (error) {
    throw isUniqueViolation(error) ? alreadyExists("KeyAlreadyExists") : error;
  }
}

/** Changes the name, and the owner to whoever moves it; throws unless the caller may. */
async function rename(
  tx: Tx,
  { caller }: Actor,
  from: ObjectName,
  to: ObjectName,
  version?: string,
): Promise<void> {
  const owner = caller.userId
    ? tx`, owner = ${asUuid(caller.userId)}, owner_id = ${caller.userId}`
    : tx``;
  const file = version ? tx`, version = ${version}` : tx``;
  try {
    const { count } = await tx`
      update storage.objects as o
      set bucket_id = ${to.bucket}, name = ${to.key} ${owner} ${file}
      where o.bucket_id = ${from.bucket} and o.name = ${from.key}`;
    if (count === 0) throw noSuchKey();
  } catch (error) {
    throw isUniqueViolation(error) ? alreadyExists("KeyAlreadyExists") : error;
  }
}

/** The column `owner` takes UUIDs only; `owner_id` takes any subject. */
function asUuid(ownerId: string | undefined): string | null {
  const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
  return ownerId !== undefined && uuid.test(ownerId) ? ownerId : null;
}

function isUniqueViolation(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "23505";
}
