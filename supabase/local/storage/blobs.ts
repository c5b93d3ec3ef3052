// The bytes of objects, as files: `<root>/<bucket>/<version>`. A version is a random UUID that is
// used once, so nothing a client writes becomes a path, and a file never changes once it has its
// name: it is written elsewhere, flushed, and renamed. storage.objects says which version counts.

import { createHash } from "node:crypto";
import { join } from "@std/path";
import { logFault, tooLarge } from "./errors.ts";

/** What was written. */
export interface WrittenBlob {
  version: string;
  size: number;
  /** MD5 in hexadecimal, as S3 builds entity tags. */
  md5: string;
}

/** An open file; whoever gets it closes it. */
export interface OpenBlob {
  file: Deno.FsFile;
  size: number;
}

/** Where the bytes are kept. */
export class Blobs {
  readonly #root: string;
  readonly #incoming: string;

  /** @param root Folder for all of it; made when missing. */
  constructor(root: string) {
    this.#root = root;
    // No bucket's folder begins with a dot, see `folderName`.
    this.#incoming = join(root, ".incoming");
  }

  /**
   * Writes the bytes of `source` as a new version, holding one chunk in memory at a time. On any
   * failure nothing is left behind; over `limitBytes` it throws {@link tooLarge}.
   */
  async write(
    bucket: string,
    source: AsyncIterable<Uint8Array>,
    limitBytes: number,
  ): Promise<WrittenBlob> {
    const md5 = createHash("md5");
    let size = 0;
    const version = await this.#add(bucket, async (temporary) => {
      using file = await Deno.open(temporary, { write: true, createNew: true, mode: 0o600 });
      for await (const chunk of source) {
        size += chunk.length;
        if (size > limitBytes) throw tooLarge();
        md5.update(chunk);
        await writeAll(file, chunk);
      }
      await file.sync();
    });
    return { version, size, md5: md5.digest("hex") };
  }

  /** Copies a version, into the same bucket or another; undefined when its file is gone. */
  async copy(from: string, version: string, to: string): Promise<string | undefined> {
    const source = this.#path(from, version);
    try {
      return source && await this.#add(to, async (temporary) => {
        await Deno.copyFile(source, temporary);
        using file = await Deno.open(temporary, { write: true });
        await file.sync();
      });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** Opens a version for reading; undefined when its file is gone. */
  async open(bucket: string, version: string): Promise<OpenBlob | undefined> {
    const path = this.#path(bucket, version);
    if (!path) return undefined;
    try {
      const file = await Deno.open(path);
      return { file, size: (await file.stat()).size };
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** Forgets a version. One that cannot be removed now is an orphan, which {@link sweep} takes. */
  async remove(bucket: string, version: string): Promise<void> {
    const path = this.#path(bucket, version);
    try {
      if (path) await removeIfThere(path);
    } catch (error) {
      logFault("A file that no object uses is left behind", error);
    }
  }

  /**
   * Removes what a crash left: unfinished files, and versions that no row names. Must not run
   * beside requests, whose files have no row yet.
   *
   * @param buckets Ids of all buckets.
   * @param versionsOf Reads the versions that the rows of one bucket name.
   * @returns How many files it removed.
   */
  async sweep(
    buckets: string[],
    versionsOf: (bucket: string) => Promise<Set<string>>,
  ): Promise<number> {
    const bucketOf = new Map(buckets.map((bucket) => [folderName(bucket), bucket]));
    let removed = 0;
    for (const folder of await list(this.#root, "isDirectory")) {
      const path = join(this.#root, folder);
      const files = await list(path, "isFile");
      const bucket = bucketOf.get(folder);
      const live = bucket !== undefined && files.length > 0 && await versionsOf(bucket);
      for (const file of files) {
        if (live && live.has(file)) continue;
        await removeIfThere(join(path, file));
        removed++;
      }
    }
    return removed;
  }

  /** Makes a new version out of what `fill` writes to the path that it is given. */
  async #add(bucket: string, fill: (temporary: string) => Promise<void>): Promise<string> {
    const version = crypto.randomUUID();
    const temporary = join(this.#incoming, version);
    const folder = join(this.#root, folderName(bucket));
    for (const path of [this.#incoming, folder]) {
      await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    }
    try {
      await fill(temporary);
      await Deno.rename(temporary, join(folder, version));
    } catch (error) {
      await removeIfThere(temporary);
      throw error;
    }
    if (Deno.build.os !== "windows") { // which has no handles on folders
      using directory = await Deno.open(folder);
      await directory.sync(); // else a power cut may forget the name although the row is there
    }
    return version;
  }

  /** Undefined for what cannot be one of our files, whoever wrote it into the row. */
  #path(bucket: string, version: string): string | undefined {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(version)) return undefined;
    return join(this.#root, folderName(bucket), version);
  }
}

/**
 * Folder of a bucket: its id where every file system takes it as it is, else a digest of it. `=`
 * keeps the two apart.
 */
function folderName(bucket: string): string {
  if (/^[a-z0-9][a-z0-9_-]{0,62}$/.test(bucket)) return bucket;
  return `=${createHash("sha256").update(bucket).digest("hex")}`;
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}

async function removeIfThere(path: string): Promise<void> {
  await Deno.remove(path).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

async function list(folder: string, kind: "isFile" | "isDirectory"): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(folder)) if (entry[kind]) names.push(entry.name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names;
}
