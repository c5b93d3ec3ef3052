// Servers and folders that nobody will miss: free ports, temporary folders that PostgreSQL may enter,
// clusters that live as long as one piece of work. An early end of the program clears them away, too.

import { tmpdir } from "node:os";
import { join } from "@std/path";
import { ensureTemplate } from "../supabase/local/database.ts";
import { startCluster, stopCluster } from "../supabase/local/postgres.ts";

/** Server settings for data that may be lost: nothing waits for a disk. */
export const FORGETFUL = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };

/** Ports below those from which systems number outgoing connections, so that none of them is taken. */
const [FIRST_PORT, PORTS] = [20_000, 12_000];

/**
 * Finds a TCP port on loopback that nobody listens on. Ports are given in turn, by a number that all
 * programs of the user share, so that no other test gets the same port before it is listened on.
 */
export function freePort(): number {
  const path = join(tmpdir(), `beautiful-life-port-${Deno.uid() ?? 0}`);
  const turn = Deno.openSync(path, { create: true, write: true });
  try {
    turn.lockSync(true);
    let port = Number(Deno.readTextFileSync(path)) || FIRST_PORT;
    do port = FIRST_PORT + (port + 1 - FIRST_PORT) % PORTS; while (!isFree(port));
    Deno.writeTextFileSync(path, String(port));
    return port;
  } finally {
    turn.close();
  }
}

function isFree(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    throw error;
  }
}

/** Runs `work` with a new temporary folder that other users may enter, and deletes it after. */
export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "beautiful-life-" });
  return await withCleanup(async () => {
    // Root's temporary folders are closed to the user that PostgreSQL runs as.
    await Deno.chmod(folder, 0o755).catch(() => {}); // Windows has no modes
    return await work(folder);
  }, () => Deno.remove(folder, { recursive: true }));
}

/** Runs `work` with a PostgreSQL of its own, its platform template made, and takes it down after. */
export function withCluster<T>(work: (port: number) => Promise<T>): Promise<T> {
  return withClusters(1, ([port]) => work(port!));
}

/** As {@link withCluster} with `count` servers, which start and stop at the same time. */
export async function withClusters<T>(
  count: number,
  work: (ports: number[]) => Promise<T>,
): Promise<T> {
  return await withFolder(async (folder) => {
    const clusters = Array.from({ length: count }, (_, i) => ({
      dataDir: join(folder, `db${i}`),
      port: freePort(),
    }));
    const start = async (cluster: { dataDir: string; port: number }) => {
      await startCluster({ ...cluster, settings: FORGETFUL });
      await ensureTemplate(cluster.port);
    };
    return await withCleanup(async () => {
      await allDone(clusters.map(start));
      return await work(clusters.map(({ port }) => port));
    }, () => allDone(clusters.map(({ dataDir }) => stopCluster(dataDir))));
  });
}

/** Waits until all have ended, then throws what the first of them threw. */
async function allDone(promises: Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) {
    if (result.status === "rejected") throw result.reason;
  }
}

/** What is to be cleared away, newest last; an early end runs all of it in reverse. */
const pending: (() => Promise<void>)[] = [];

/** Runs `work` and then `cleanup`, also when `work` throws or the program ends early. */
export async function withCleanup<T>(
  work: () => Promise<T>,
  cleanup: () => Promise<void>,
): Promise<T> {
  if (pending.length === 0) watchForEarlyEnd(true);
  pending.push(cleanup);
  try {
    return await work();
  } finally {
    const at = pending.lastIndexOf(cleanup);
    // Gone when an early end has begun to clear everything away. That ends the program when it is
    // done; work that has ended by it must not do so before.
    if (at < 0) await new Promise(() => {});
    pending.splice(at, 1);
    await cleanup();
    if (pending.length === 0) watchForEarlyEnd(false);
  }
}

/** A signal, or an error that nobody catches, would end the program and leave its servers. */
function watchForEarlyEnd(on: boolean): void {
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  for (const signal of signals) {
    if (on) Deno.addSignalListener(signal, interrupted);
    else Deno.removeSignalListener(signal, interrupted);
  }
  if (on) globalThis.addEventListener("unhandledrejection", failed);
  else globalThis.removeEventListener("unhandledrejection", failed);
}

async function interrupted(): Promise<void> {
  await clearAway();
  Deno.exit(130);
}

async function failed(event: PromiseRejectionEvent): Promise<void> {
  event.preventDefault();
  console.error("Uncaught", event.reason);
  await clearAway();
  Deno.exit(1);
}

async function clearAway(): Promise<void> {
  for (const cleanup of pending.splice(0).reverse()) {
    await cleanup().catch((error) => console.error(error));
  }
}
