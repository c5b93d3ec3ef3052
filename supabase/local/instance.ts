// Keeps a data folder to one stack at a time, and lets `stop` and `status` find the stack that has it.
// The claim is a lock of the operating system's on a file of the folder: it ends with the process,
// however that ends, so that a killed stack never stops the next start.

import { join } from "@std/path";
import { Fault } from "./fault.ts";

/** A stack that runs, as it is written beside its data. */
export interface Instance {
  pid: number;
  apiPort: number;
  dbPort: number;
}

const lockPath = (dataDir: string) => join(dataDir, "lock");
const instancePath = (dataDir: string) => join(dataDir, "run.json");

/**
 * Claims `dataDir`, which must exist, for this process; throws {@link Fault} when another has it.
 *
 * @returns Gives the folder back.
 */
export async function claimDataDir(
  dataDir: string,
  ports: Omit<Instance, "pid">,
): Promise<() => Promise<void>> {
  const lock = await Deno.open(lockPath(dataDir), { create: true, write: true, read: true });
  if (!await hold(lock)) {
    lock.close();
    const other = await readInstance(dataDir);
    const where = other ? ` at http://127.0.0.1:${other.apiPort}` : "";
    throw new Fault(
      `The stack is running already${where} on ${dataDir}; stop it with \`deno task stop\``,
    );
  }
  const instance: Instance = { pid: Deno.pid, ...ports };
  // Renamed into place, so that nobody reads half of it.
  await Deno.writeTextFile(`${instancePath(dataDir)}.new`, JSON.stringify(instance));
  await Deno.rename(`${instancePath(dataDir)}.new`, instancePath(dataDir));
  return async () => {
    await Deno.remove(instancePath(dataDir)).catch(() => {}); // gone already after a reset
    lock.close();
  };
}

/** Takes the lock; tries for a moment, because {@link findInstance} holds it for an instant. */
async function hold(lock: Deno.FsFile): Promise<boolean> {
  for (let attempt = 0; attempt < 10; attempt++) {
    if (await lock.tryLock(true)) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

/** The stack that has `dataDir` now; undefined when none has. */
export async function findInstance(dataDir: string): Promise<Instance | undefined> {
  let lock: Deno.FsFile;
  try {
    lock = await Deno.open(lockPath(dataDir), { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  try {
    if (await lock.tryLock(false)) return undefined;
  } finally {
    lock.close();
  }
  return await readInstance(dataDir);
}

async function readInstance(dataDir: string): Promise<Instance | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(instancePath(dataDir)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
