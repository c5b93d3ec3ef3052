// `/qstash` of the embedded stack: a queue that speaks hosted QStash's protocol, so that the unmodified
// client publishes to it and the unmodified receiver accepts what it delivers. Messages and schedules
// are kept in the schema _qstash: they survive a restart, and a kill. Delivery is at least once: what a
// crash interrupts is delivered again, under the same message id.

import type { Part } from "../context.ts";
import { describeError } from "../log_errors.ts";
import { QSTASH_BASE } from "./base.ts";
import { createControl } from "./control.ts";
import { QStashError } from "./errors.ts";
import { readRequest } from "./requests.ts";
import { createRoutes } from "./routes.ts";
import { openStore } from "./store.ts";
import { releaseAll, Worker } from "./worker.ts";

/** What the queue is built from. */
export interface QStashOptions {
  /** Connection URL of the superuser, whose the schema _qstash is. */
  databaseUrl: string;
  /** Token of those who may publish. */
  token: string;
  /** Keys that deliveries are signed with; rotated in place. */
  keys: { current: string; next: string };
  /** Keeps rotated keys. */
  saveKeys: (keys: { current: string; next: string }) => Promise<void>;
  /** Makes a signing key. */
  newKey: () => string;
  now: () => number;
  /** What all waits are multiplied by. */
  waitFactor?: number | undefined;
  /** Whether others work on the same tables: then what is claimed may be theirs. */
  hasPeers?: boolean;
}

/** A queue that runs. */
export interface QStash {
  /** Answers requests below {@link QSTASH_BASE}. */
  part: Part;
  /** Answers `/_local/qstash/*`. */
  control: (request: Request) => Promise<Response | undefined>;
  /** Begins to deliver. */
  start: () => void;
  /** Ends what is under way and takes no more; may be called again. */
  close: () => Promise<void>;
}

const DEDUPLICATION_MS = 10 * 60_000;

/** Builds the queue. Until it is started it takes messages and delivers none. */
export async function createQStash(options: QStashOptions): Promise<QStash> {
  const { keys, now } = options;
  const sql = openStore(options.databaseUrl);
  const settings = {
    waitFactor: options.waitFactor ?? 1,
    deduplicationMs: DEDUPLICATION_MS,
  };
  if (!options.hasPeers) await releaseAll(sql);
  const worker = new Worker({ sql, now, settings, signingKey: () => keys.current });
  const routes = createRoutes({
    sql,
    now,
    settings,
    keys,
    wake: () => worker.wake(),
    async rotateKeys() {
      const rotated = { current: keys.next, next: options.newKey() };
      await options.saveKeys(rotated);
      return Object.assign(keys, rotated);
    },
  });
  const notFound = () => new QStashError(404, "No such path").toResponse();
  let closing: Promise<void> | undefined;
  return {
    control: createControl({ sql, now, settings, worker }),
    start: () => worker.start(),
    close: () => closing ??= worker.stop().then(() => sql.end({ timeout: 5 })),
    async part(request, peer) {
      if (request.headers.get("authorization") !== `Bearer ${options.token}`) {
        return new QStashError(401, "unauthorized: the token is not valid").toResponse();
      }
      try {
        const asked = await readRequest(request, QSTASH_BASE, peer.address);
        return (asked && await routes(asked)) ?? notFound();
      } catch (error) {
        if (error instanceof QStashError) return error.toResponse();
        console.error("The queue failed:", describeError(error));
        return Response.json({ error: "internal error" }, { status: 500 });
      }
    },
  };
}
