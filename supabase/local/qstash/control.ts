// `/_local/qstash/*`: what only the embedded stack's queue can do, for tests and for the curious. The
// gateway lets nobody but this machine in.
//
//   GET  /_local/qstash                      settings, and how much there is
//   POST /_local/qstash/settings             {"wait_factor"?, "is_paused"?, "deduplication_ms"?}
//   POST /_local/qstash/run?ahead=1h         delivers what is due now, or within the hour
//   POST /_local/qstash/schedules/<id>/tick  lets a schedule tick now

import { z } from "zod";
import { parseDuration } from "./durations.ts";
import { QStashError } from "./errors.ts";
import type { PublishSettings } from "./publish.ts";
import { tickNow } from "./schedules.ts";
import type { Sql } from "./store.ts";
import type { Worker } from "./worker.ts";

const SettingsBody = z.strictObject({
  wait_factor: z.number().min(0).max(1).optional(),
  is_paused: z.boolean().optional(),
  deduplication_ms: z.int().min(0).optional(),
});

/** What control needs. */
export interface ControlDeps {
  sql: Sql;
  now: () => number;
  settings: PublishSettings;
  worker: Worker;
}

/** Builds the handler of `/_local/qstash/*`; it answers undefined for an unknown path. */
export function createControl(
  deps: ControlDeps,
): (request: Request) => Promise<Response | undefined> {
  const { sql, now, settings, worker } = deps;
  const state = async () => {
    const rows = await sql<{ state: string; count: number }[]>`
      select state, count(*) as count from _qstash.messages group by state`;
    const count = (state: string) => rows.find((row) => row.state === state)?.count ?? 0;
    return Response.json({
      wait_factor: settings.waitFactor,
      deduplication_ms: settings.deduplicationMs,
      is_paused: worker.isPaused,
      waiting: count("waiting"),
      active: count("active"),
      dead: count("dead"),
    });
  };
  const handle = async (request: Request) => {
    const url = new URL(request.url);
    const path = url.pathname.slice("/_local/qstash".length);
    if (request.method === "GET" && path === "") return await state();
    if (request.method !== "POST") return undefined;
    if (path === "/settings") {
      const body = SettingsBody.safeParse(await request.json().catch(() => undefined));
      if (!body.success) throw new QStashError(400, "Unknown settings");
      settings.waitFactor = body.data.wait_factor ?? settings.waitFactor;
      settings.deduplicationMs = body.data.deduplication_ms ?? settings.deduplicationMs;
      worker.isPaused = body.data.is_paused ?? worker.isPaused;
      return await state();
    }
    if (path === "/run") {
      const ahead = parseDuration(url.searchParams.get("ahead") ?? "0s");
      if (ahead === undefined) throw new QStashError(400, "ahead is not a duration such as 1h");
      return Response.json({ attempts: await worker.runDue(ahead) });
    }
    const id = /^\/schedules\/([^/]+)\/tick$/.exec(path)?.[1];
    if (id === undefined) return undefined;
    const messageIds = await tickNow(sql, id, settings, now());
    worker.wake();
    return Response.json({ message_ids: messageIds });
  };
  return async (request) => {
    try {
      return await handle(request);
    } catch (error) {
      if (error instanceof QStashError) return error.toResponse();
      throw error;
    }
  };
}
