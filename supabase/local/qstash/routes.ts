// `/v2/*` of the queue, in the paths, bodies and statuses of hosted QStash's API, so that the unmodified
// client works.

import { z } from "zod";
import { invalid, QStashError } from "./errors.ts";
import {
  addEndpoints,
  deleteQueue,
  deleteUrlGroup,
  listQueues,
  listUrlGroups,
  pauseQueue,
  putQueue,
  removeEndpoints,
} from "./groups.ts";
import {
  cancelMessages,
  deleteDead,
  getMessage,
  listDead,
  listLogs,
  retryDead,
} from "./messages.ts";
import { readSource } from "./options.ts";
import { publish, type Published, type PublishSettings } from "./publish.ts";
import { type QueueRequest, readJson } from "./requests.ts";
import { putSchedule, type ScheduleRow, setPaused } from "./schedules.ts";
import type { Sql } from "./store.ts";
import { viewSchedule } from "./views.ts";

/** What routes need. */
export interface RouteDeps {
  sql: Sql;
  now: () => number;
  settings: PublishSettings;
  keys: { current: string; next: string };
  /** The next key becomes the current one, and a new one the next. */
  rotateKeys: () => Promise<{ current: string; next: string }>;
  /** Says that something may be due. */
  wake: () => void;
}

type Handler = (request: QueueRequest, ...parts: string[]) => Promise<unknown>;

/** Builds the handler of requests; it answers undefined for a path that is none of the queue's. */
export function createRoutes(
  deps: RouteDeps,
): (request: QueueRequest) => Promise<Response | undefined> {
  const { sql, now, settings, wake } = deps;

  const send = async (request: QueueRequest, destination: string, queueName?: string) => {
    const publication = {
      destination,
      source: readSource(request.headers),
      body: request.body,
      callerIp: request.callerIp,
      ...(queueName === undefined ? {} : { queueName }),
    };
    const published = await sql.begin((tx) => publish(tx, publication, settings, now()));
    wake();
    const isRepeat = !Array.isArray(published) && published.deduplicated;
    return Response.json(published, { status: isRepeat ? 202 : 201 });
  };
  const found = async (id: string) => {
    const [row] = await sql<ScheduleRow[]>`select * from _qstash.schedules where id = ${id}`;
    if (!row) throw new QStashError(404, "Schedule not found");
    return row;
  };
  const pause = (isPaused: boolean): Handler => async (_request, id) => {
    await setPaused(sql, id!, isPaused, now());
    wake();
  };
  const messagesOf = (id: string) => new URLSearchParams({ messageIds: id });

  /** Tried in order against method and path; groups of the pattern are the handler's parts. */
  const routes: [string, RegExp, Handler][] = [
    [
      "POST",
      /^publish\/(.+)$/s,
      (request) => send(request, request.target.slice("publish/".length)),
    ],
    [
      "POST",
      /^enqueue\/([^/]+)\/(.+)$/s,
      (request, queue) =>
        send(request, request.target.slice(`enqueue/${queue}/`.length), decodeURIComponent(queue!)),
    ],
    ["POST", /^batch$/, (request) => batch(deps, request)],

    // Before what takes everything after `schedules/` as a destination.
    ["PATCH", /^schedules\/([^/]+)\/pause$/, pause(true)],
    ["PATCH", /^schedules\/([^/]+)\/resume$/, pause(false)],
    ["POST", /^schedules\/([^/:]+)\/pause$/, pause(true)],
    ["POST", /^schedules\/([^/:]+)\/resume$/, pause(false)],
    ["POST", /^schedules\/(.+)$/s, async (request) => {
      const scheduleId = await putSchedule(sql, {
        destination: request.target.slice("schedules/".length),
        source: readSource(request.headers),
        body: request.body,
        callerIp: request.callerIp,
      }, now());
      wake();
      return Response.json({ scheduleId }, { status: 201 });
    }],
    ["GET", /^schedules$/, async () => {
      const rows = await sql<
        ScheduleRow[]
      >`select * from _qstash.schedules order by created_at, id`;
      return await Promise.all(rows.map((row) => viewSchedule(sql, row)));
    }],
    ["GET", /^schedules\/([^/]+)$/, async (_request, id) => viewSchedule(sql, await found(id!))],
    ["DELETE", /^schedules\/([^/]+)$/, async (_request, id) => {
      await found(id!);
      await sql`delete from _qstash.schedules where id = ${id!}`;
    }],

    ["GET", /^messages\/([^/]+)$/, (_request, id) => getMessage(sql, id!)],
    ["DELETE", /^messages\/([^/]+)$/, async (_request, id) => {
      const cancelled = await cancelMessages(sql, messagesOf(id!), now());
      if (cancelled === 0) throw new QStashError(404, "Message not found");
      wake();
      return { cancelled };
    }],
    ["DELETE", /^messages$/, async ({ query }) => {
      const cancelled = await cancelMessages(sql, query, now());
      wake();
      return { cancelled };
    }],
    ["GET", /^dlq$/, ({ query }) => listDead(sql, query)],
    ["DELETE", /^dlq$/, ({ query }) => deleteDead(sql, query)],
    ["DELETE", /^dlq\/([^/]+)$/, async (_request, id) => {
      const { deleted } = await deleteDead(sql, new URLSearchParams({ dlqIds: id! }));
      if (deleted === 0) throw new QStashError(404, "Dead letter not found");
      return { deleted };
    }],
    ["POST", /^dlq\/retry$/, async ({ query }) => {
      const retried = await retryDead(sql, query, settings, now());
      wake();
      return retried;
    }],
    ["GET", /^(?:events|logs)$/, ({ query }) => listLogs(sql, query)],

    ["POST", /^queues$/, async (request) => {
      await putQueue(sql, readJson(request), now());
      wake();
    }],
    ["GET", /^queues$/, () => listQueues(sql)],
    ["GET", /^queues\/([^/]+)$/, async (_request, name) => (await listQueues(sql, name))[0]],
    ["DELETE", /^queues\/([^/]+)$/, (_request, name) => deleteQueue(sql, name!, now())],
    ["POST", /^queues\/([^/]+)\/pause$/, (_request, name) => pauseQueue(sql, name!, true, now())],
    ["POST", /^queues\/([^/]+)\/resume$/, async (_request, name) => {
      await pauseQueue(sql, name!, false, now());
      wake();
    }],

    ["GET", /^topics$/, () => listUrlGroups(sql)],
    ["GET", /^topics\/([^/]+)$/, async (_request, name) => (await listUrlGroups(sql, name))[0]],
    ["DELETE", /^topics\/([^/]+)$/, (_request, name) => deleteUrlGroup(sql, name!)],
    [
      "POST",
      /^topics\/([^/]+)\/endpoints$/,
      (request, name) => addEndpoints(sql, name!, readJson(request), now()),
    ],
    [
      "DELETE",
      /^topics\/([^/]+)\/endpoints$/,
      (request, name) => removeEndpoints(sql, name!, readJson(request), now()),
    ],

    ["GET", /^keys$/, () => Promise.resolve(deps.keys)],
    ["POST", /^keys\/rotate$/, () => deps.rotateKeys()],
  ];

  return async (request) => {
    if (/^(flowControl|globalParallelism|workflows)(\/|$)/.test(request.path)) {
      throw new QStashError(404, "not implemented in the emulator");
    }
    for (const [method, pattern, handle] of routes) {
      const parts = method === request.method ? pattern.exec(request.path) : null;
      if (!parts) continue;
      const answer = await handle(request, ...parts.slice(1));
      return answer instanceof Response ? answer : Response.json(answer ?? {});
    }
    return undefined;
  };
}

const BatchBody = z.array(z.object({
  destination: z.string(),
  headers: z.record(z.string(), z.string()).default({}),
  body: z.string().default(""),
  queue: z.string().optional(),
}));

/** Publishes each of a batch by itself, in order; one that is wrong does not stop the others. */
async function batch(
  { sql, now, settings, wake }: RouteDeps,
  request: QueueRequest,
): Promise<Response> {
  const messages = BatchBody.safeParse(readJson(request));
  if (!messages.success) throw invalid("Body must be an array of {destination, headers, body}");
  const answers: (Published | Published[] | { error: string })[] = [];
  for (const { destination, headers, body, queue } of messages.data) {
    const publication = {
      destination,
      source: readSource(Object.entries(headers)),
      body: new TextEncoder().encode(body),
      callerIp: request.callerIp,
      ...(queue === undefined ? {} : { queueName: queue }),
    };
    try {
      answers.push(await sql.begin((tx) => publish(tx, publication, settings, now())));
    } catch (error) {
      if (!(error instanceof QStashError)) throw error;
      answers.push({ error: error.message });
    }
  }
  wake();
  return Response.json(answers, { status: 201 });
}
