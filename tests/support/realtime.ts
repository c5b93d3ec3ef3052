// Realtime in the test's own process, on a database of its own in the cluster of the stack under test:
// keys, limits and clock are the test's, and so are the policies of private channels. Clients are the
// unmodified ones.

import {
  createClient,
  type RealtimeChannel,
  type RealtimeClientOptions,
  type SupabaseClient,
} from "@supabase/supabase-js";
import type { JWTPayload } from "jose";
import postgres from "postgres";
import { tokensOf } from "../../supabase/local/auth/tokens.ts";
import type { StackContext } from "../../supabase/local/context.ts";
import { createDatabase, dropDatabase } from "../../supabase/local/database.ts";
import { createGateway } from "../../supabase/local/gateway.ts";
import { loadKeys } from "../../supabase/local/keys.ts";
import { Outbox } from "../../supabase/local/outbox.ts";
import { databaseUrl, SUPERUSER } from "../../supabase/local/postgres.ts";
import { createRealtime, type Realtime } from "../../supabase/local/realtime/realtime.ts";
import type { RealtimeSettings } from "../../supabase/local/realtime/settings.ts";
import { present } from "./auth.ts";
import { testEnv } from "./env.ts";

/** Whether the stack under test lets a test do this; says so once when it does not. */
export const canOwnRealtime = testEnv().adminUrl !== undefined;
if (!canOwnRealtime) {
  console.warn("Tests of Realtime are skipped: BL_LOCAL_ADMIN_URL is not set");
}

/** Somebody with a token. */
export interface Someone {
  id: string;
  token: string;
}

/** Who may do what on the private channels of {@link OwnRealtime}. */
const POLICIES = `
  create table public.members (
    topic text not null,
    user_id uuid not null,
    reads text[] not null,
    writes text[] not null
  );
  alter table public.members enable row level security;
  grant select on public.members to authenticated;
  create policy members_own on public.members for select to authenticated
    using (user_id = (select auth.uid()));
  create policy read on realtime.messages for select to authenticated
    using (exists (
      select from public.members as m
      where m.topic = (select realtime.topic()) and m.user_id = (select auth.uid())
        and messages.extension = any (m.reads)
    ));
  create policy write on realtime.messages for insert to authenticated
    with check (exists (
      select from public.members as m
      where m.topic = (select realtime.topic()) and m.user_id = (select auth.uid())
        and messages.extension = any (m.writes)
    ));`;

const ALL = ["broadcast", "presence"];

/** Realtime of one test, or of several that need no other settings. */
export class OwnRealtime {
  #clients: SupabaseClient[] = [];
  #tokens = new WeakMap<SupabaseClient, { token?: string }>();
  #server: Deno.HttpServer<Deno.NetAddr> | undefined;
  realtime!: Realtime;

  private constructor(
    readonly context: StackContext,
    readonly settings: Partial<RealtimeSettings>,
    readonly port: number,
  ) {}

  /** Runs `work` with a Realtime; `settings` go over the defaults. */
  static async use(
    work: (own: OwnRealtime) => Promise<void>,
    settings: Partial<RealtimeSettings> = {},
  ): Promise<void> {
    const dbPort = Number(new URL(present(testEnv().adminUrl)).port);
    const name = `realtime_${crypto.randomUUID().replaceAll("-", "")}`;
    const dataDir = await Deno.makeTempDir({ prefix: "realtime-test-" });
    await createDatabase(dbPort, name);
    const adminUrl = databaseUrl(dbPort, SUPERUSER, name);
    const admin = postgres(adminUrl, { max: 10, onnotice: () => {} });
    const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = probe.addr as Deno.NetAddr;
    probe.close();
    const context: StackContext = {
      apiUrl: `http://127.0.0.1:${port}`,
      dbUrl: databaseUrl(dbPort, "postgres", name),
      adminUrl,
      admin,
      keys: await loadKeys(dataDir),
      dataDir,
      outbox: new Outbox(),
      now: Date.now,
    };
    const own = new OwnRealtime(context, settings, port);
    try {
      await admin.unsafe(POLICIES);
      await own.start();
      await work(own);
    } finally {
      await Promise.all(own.#clients.map((client) => client.realtime.disconnect()));
      await own.stop();
      await admin.end();
      await dropDatabase(dbPort, name);
      await Deno.remove(dataDir, { recursive: true });
    }
  }

  /** Begins to serve, at the same address as before. */
  async start(): Promise<void> {
    this.realtime = await createRealtime(this.context, this.settings);
    const none = () => new Response(null, { status: 404 });
    const handler = createGateway(this.context, {
      auth: none,
      rest: none,
      storage: none,
      functions: none,
      qstash: none,
      redis: none,
      realtime: this.realtime.part,
    });
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: this.port, onListen: () => {} },
      (request, { remoteAddr }) => handler(request, { address: remoteAddr.hostname }),
    );
  }

  /** Ends everything that {@link start} began. */
  async stop(): Promise<void> {
    await this.realtime.close();
    await this.#server?.shutdown();
  }

  /** A token that is signed by this stack. */
  async sign(claims: JWTPayload): Promise<string> {
    return await tokensOf(this.context).sign(claims);
  }

  /** Somebody who is signed in. */
  async someone(seconds = 3600, claims: JWTPayload = {}): Promise<Someone> {
    const id = claims.sub ?? crypto.randomUUID();
    const exp = Math.floor(Date.now() / 1000) + seconds;
    const token = await this.sign({ role: "authenticated", exp, ...claims, sub: id, jti: newId() });
    return { id, token };
  }

  /** A member of a private topic; all rights but those that are given. */
  async member(
    topic: string,
    { reads = ALL, writes = ALL, seconds = 3600 } = {},
  ): Promise<Someone> {
    const person = await this.someone(seconds);
    await this.addMember(topic, person.id, { reads, writes });
    return person;
  }

  /** Gives rights on a private topic. */
  async addMember(topic: string, id: string, { reads = ALL, writes = ALL } = {}): Promise<void> {
    await this.context.admin`
      insert into public.members (topic, user_id, reads, writes)
      values (${topic}, ${id}, ${reads}, ${writes})`;
  }

  /** Takes them away. */
  async removeMember(topic: string, id: string): Promise<void> {
    await this.context.admin`
      delete from public.members where topic = ${topic} and user_id = ${id}`;
  }

  /** An unmodified client, of nobody or of somebody whose token it knows already. */
  async client(
    person?: Someone,
    options: RealtimeClientOptions = {},
    key = this.context.keys.publishable,
  ): Promise<SupabaseClient> {
    const known: { token?: string } = {};
    const client = createClient(this.context.apiUrl, key, {
      realtime: { reconnectAfterMs: () => 50, ...options },
      accessToken: () => Promise.resolve(known.token ?? null),
    });
    this.#tokens.set(client, known);
    this.#clients.push(client);
    if (person) await this.signIn(client, person);
    return client;
  }

  /** Gives a client another token, as a session does that is refreshed. */
  async signIn(client: SupabaseClient, { token }: Someone): Promise<void> {
    this.#tokens.get(client)!.token = token;
    await client.realtime.setAuth();
  }
}

/** Text that nothing else has. */
export function newId(): string {
  return crypto.randomUUID();
}

/** The statuses of a channel, in order, that can be waited for. */
export class Statuses {
  readonly seen: { status: string; error?: Error }[] = [];
  #waiting: (() => void)[] = [];

  /** Subscribes a channel and notes what becomes of it. */
  constructor(readonly channel: RealtimeChannel) {
    channel.subscribe((status, error) => {
      this.seen.push({ status, error });
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  /** The first time that `status` is seen after `from` others. */
  async next(status: string, from = 0): Promise<{ status: string; error?: Error }> {
    const search = async () => {
      for (;;) {
        const found = this.seen.slice(from).find((entry) => entry.status === status);
        if (found) return found;
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    };
    return await inTime(search(), status).catch((late) => {
      const seen = this.seen.slice(-5).map((entry) =>
        `${entry.status} ${entry.error?.message ?? ""}`
      );
      throw new Error(`${late.message}; there were ${seen}`);
    });
  }
}

/** Subscribes a channel and waits until it is joined. */
export async function joined(channel: RealtimeChannel): Promise<Statuses> {
  const statuses = new Statuses(channel);
  await statuses.next("SUBSCRIBED");
  return statuses;
}

/** What a channel hears, that can be waited for. */
export class Heard<T> {
  readonly all: T[] = [];
  #waiting: (() => void)[] = [];

  add = (item: T): void => {
    this.all.push(item);
    for (const wake of this.#waiting.splice(0)) wake();
  };

  /** The first `count` things that were heard. */
  async first(count: number): Promise<T[]> {
    while (this.all.length < count) {
      const woken = new Promise<void>((resolve) => this.#waiting.push(resolve));
      await inTime(woken, `${count} messages; there were ${this.all.length}`);
    }
    return this.all.slice(0, count);
  }
}

/** A broadcast as a callback gets it. */
export interface HeardBroadcast {
  event: string;
  payload: Record<string, unknown>;
  meta?: Record<string, unknown>;
}

/** Notes every broadcast that a channel hears. */
export function broadcastsOf(channel: RealtimeChannel): Heard<HeardBroadcast> {
  const heard = new Heard<HeardBroadcast>();
  channel.on("broadcast", { event: "*" }, (message) => heard.add(message as never));
  return heard;
}

/** Notes every system message that a channel hears. */
export function systemOf(channel: RealtimeChannel): Heard<Record<string, unknown>> {
  const heard = new Heard<Record<string, unknown>>();
  channel.on("system", {}, (message) => heard.add(message as never));
  return heard;
}

/** Far more than anything takes: only what never comes is to fail. */
const TIME_LIMIT_MS = 60_000;

/** Waits for `promise`; throws when what it stands for does not come. */
export async function inTime<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Did not come: ${what}`)), TIME_LIMIT_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Registers a test with a Realtime of its own. */
export function realtimeTest(
  name: string,
  work: (own: OwnRealtime) => Promise<void>,
  settings: Partial<RealtimeSettings> = {},
): void {
  Deno.test({
    name,
    ignore: !canOwnRealtime,
    fn: () => OwnRealtime.use(work, settings),
    // The client's timers outlive its end.
    sanitizeOps: false,
    sanitizeResources: false,
  });
}

/** A message as the server sends it in version 2.0.0. */
export type Message = [string | null, string | null, string, string, Record<string, unknown>];

/** A socket without a client: sends what a test says, and notes what comes. */
export class RawSocket {
  readonly heard = new Heard<Message>();
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #socket: WebSocket;
  #opened: Promise<void>;
  #refs = 0;

  constructor(own: OwnRealtime, query = `apikey=${own.context.keys.publishable}&vsn=2.0.0`) {
    const url = `${own.context.apiUrl.replace("http", "ws")}/realtime/v1/websocket?${query}`;
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#opened = new Promise((resolve) => this.#socket.onopen = () => resolve());
    this.closed = new Promise((resolve) => {
      this.#socket.onclose = ({ code, reason }) => resolve({ code, reason });
    });
    this.#socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.heard.add(JSON.parse(data));
    };
  }

  /** Sends a frame as it is. */
  async frame(data: string | Uint8Array<ArrayBuffer>): Promise<void> {
    await inTime(this.#opened, "the socket to open");
    this.#socket.send(data);
  }

  /** Sends a message, and answers what is replied to it. */
  async ask(
    topic: string,
    event: string,
    payload: unknown,
    joinRef: string | null = null,
  ): Promise<Message> {
    const ref = `r${++this.#refs}`;
    await this.frame(
      JSON.stringify([event === "phx_join" ? ref : joinRef, ref, topic, event, payload]),
    );
    return await this.message(([, found, , type]) => found === ref && type === "phx_reply");
  }

  /** Joins a topic; answers the reference of the join. */
  async join(
    topic: string,
    config: Record<string, unknown> = {},
    access_token?: string,
  ): Promise<string> {
    const reply = await this.ask(topic, "phx_join", { config, access_token });
    if (reply[4].status !== "ok") throw new Error(`Not joined: ${JSON.stringify(reply)}`);
    return reply[1]!;
  }

  /** The first message that fits. */
  async message(fits: (message: Message) => boolean): Promise<Message> {
    for (let count = 1;; count++) {
      const found = (await this.heard.first(count)).at(-1)!;
      if (fits(found)) return found;
    }
  }

  /** Whether the server still answers this socket. */
  async isAlive(): Promise<boolean> {
    const [, , , , { status }] = await this.ask("phoenix", "heartbeat", {});
    return status === "ok";
  }

  close(): void {
    this.#socket.close();
  }
}
