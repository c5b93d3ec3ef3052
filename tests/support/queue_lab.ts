// A queue of a test's own: in this process, on a new database of the stack's server, with a clock that
// the test moves and a receiver that writes down what arrives. The client and the receiver's check of
// signatures are the unmodified package's.

import { Client, Receiver } from "@upstash/qstash";
import { createDatabase, dropDatabase } from "../../supabase/local/database.ts";
import { databaseUrl, SUPERUSER } from "../../supabase/local/postgres.ts";
import { QSTASH_BASE } from "../../supabase/local/qstash/base.ts";
import { createQStash, type QStash } from "../../supabase/local/qstash/qstash.ts";
import { testEnv } from "./env.ts";

/** What arrived at the receiver. */
export interface Arrival {
  /** Address that was asked for, query included. */
  url: string;
  method: string;
  headers: Headers;
  body: string;
}

type Answer = (arrival: Arrival) => Response | Promise<Response>;

/** How a queue of a lab is made. */
export interface LabOptions {
  /** Whether it delivers by itself; otherwise only {@link QueueLab.run} does. */
  isRunning?: boolean;
  waitFactor?: number;
  /** Queues on the same tables. */
  peers?: number;
}

/** A queue, and what is needed to try it. */
export interface QueueLab {
  client: Client;
  receiver: Receiver;
  /** Address of the queue, as QSTASH_URL. */
  url: string;
  token: string;
  keys: { current: string; next: string };
  /** Everything that arrived, in order. */
  arrivals: Arrival[];
  /** Address of a path at the receiver. */
  at: (path: string) => string;
  /** Sets how the receiver answers; 200 until then. */
  answer: (answer: Answer) => void;
  /** Moves the queue's clock. */
  pass: (ms: number) => void;
  now: () => number;
  /** Delivers what is due, within `ahead` if given; answers the number of attempts. */
  run: (ahead?: string) => Promise<number>;
  /** Calls `/_local/qstash<path>`. */
  control: (method: string, path: string, body?: unknown) => Promise<Response>;
  /** Waits until `count` requests have arrived. */
  arrived: (count: number) => Promise<void>;
  /** Stops the queue and builds another on the same data. */
  restart: (meanwhile?: () => Promise<void> | void) => Promise<void>;
}

const PEER = { address: "127.0.0.1" };

const MINUTE = 60_000;

/** Runs `work` with a new queue; fails when a delivery's signature was not accepted. */
export async function withQueueLab(
  work: (lab: QueueLab) => Promise<void>,
  { isRunning = false, waitFactor = 1, peers = 1 }: LabOptions = {},
): Promise<void> {
  const port = Number(new URL(testEnv().adminUrl!).port);
  const database = `queue_${crypto.randomUUID().replaceAll("-", "")}`;
  await createDatabase(port, database);
  const token = crypto.randomUUID();
  const keys = { current: `sig_${crypto.randomUUID()}`, next: `sig_${crypto.randomUUID()}` };
  // Every lab begins in the middle of a minute, so that none passes while a test looks.
  let offset = MINUTE / 2 - Date.now() % MINUTE;
  const now = () => Date.now() + offset;
  const create = async () => {
    const queue = await createQStash({
      databaseUrl: databaseUrl(port, SUPERUSER, database),
      token,
      keys,
      saveKeys: () => Promise.resolve(),
      newKey: () => `sig_${crypto.randomUUID()}`,
      now,
      waitFactor,
      hasPeers: peers > 1,
    });
    if (isRunning) queue.start();
    return queue;
  };
  let queues: QStash[] = [];
  const begin = async () => queues = await Promise.all(Array.from({ length: peers }, create));
  const end = () => Promise.all(queues.map((queue) => queue.close()));

  const arrivals: Arrival[] = [];
  const faults: unknown[] = [];
  let answer: Answer = () => new Response("ok");
  let heard = Promise.withResolvers<void>();
  const receiver = new Receiver({
    currentSigningKey: keys.current,
    nextSigningKey: keys.next,
    devMode: false,
  });
  const serve = (handler: Deno.ServeHandler) =>
    Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, handler);
  const receiving = serve(async (request) => {
    const { url, method, headers } = request;
    const arrival = { url, method, headers, body: await request.text() };
    const signature = headers.get("upstash-signature") ?? "";
    const clockTolerance = Math.ceil(Math.abs(offset) / 1000) + 5;
    await receiver.verify({ signature, body: arrival.body, url, clockTolerance })
      .catch((error) => faults.push(error));
    arrivals.push(arrival);
    heard.resolve();
    heard = Promise.withResolvers();
    return await answer(arrival);
  });
  // Requests go to each of the queues in turn.
  let turn = 0;
  const next = () => queues[turn++ % queues.length]!;
  const serving = serve((request) => next().part(request, PEER));
  const url = `http://127.0.0.1:${serving.addr.port}${QSTASH_BASE}`;
  const control = async (method: string, path: string, body?: unknown) => {
    const text = body === undefined ? null : JSON.stringify(body);
    const address = `http://127.0.0.1/_local/qstash${path}`;
    const answered = await queues[0]!.control(new Request(address, { method, body: text }));
    return answered ?? new Response(null, { status: 404 });
  };
  try {
    await begin();
    await work({
      client: new Client({ baseUrl: url, token, devMode: false, retry: false }),
      receiver,
      url,
      token,
      keys,
      arrivals,
      now,
      control,
      at: (path) => `http://127.0.0.1:${receiving.addr.port}${path}`,
      answer: (given) => answer = given,
      pass: (ms) => offset += ms,
      async run(ahead = "0s") {
        const response = await control("POST", `/run?ahead=${ahead}`);
        return (await response.json()).attempts;
      },
      async arrived(count) {
        const timer = setTimeout(() => heard.reject(new Error(`only ${arrivals.length}`)), 60_000);
        try {
          while (arrivals.length < count) await heard.promise;
        } finally {
          clearTimeout(timer);
        }
      },
      async restart(meanwhile) {
        await end();
        await meanwhile?.();
        await begin();
      },
    });
    if (faults.length > 0) throw new AggregateError(faults, "A signature was not accepted");
  } finally {
    await end();
    await Promise.all([receiving.shutdown(), serving.shutdown()]);
    await dropDatabase(port, database);
  }
}
