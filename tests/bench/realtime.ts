// Realtime: how fast one message reaches 500 subscribers of a private channel, against a server that
// does nothing but pass frames on; how soon they all have one from the database; and what a connection
// costs that is only held. Servers and load are processes of their own, the load the same for both.

import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fromFileUrl } from "@std/path";
import { asAdmin, createDatabase } from "../../supabase/local/database.ts";
import { databaseUrl, SUPERUSER } from "../../supabase/local/postgres.ts";
import { withCluster } from "../../tools/throwaway.ts";
import { type BenchResult, median, ms, round } from "./harness.ts";
import type { LoadOptions, Rates, Target } from "./realtime_load.ts";

const DATABASE = "bench";
const SUBSCRIBERS = 500;
const MESSAGES = 100;
const ROUNDS = 7;
const COMMITS = 200;
const IDLE = 500;

const [LEAST_RATE, MOST_P95_MS, MOST_IDLE_BYTES] = [0.8, 50, 64 * 1024];

/** Whoever is a member may read and write, as an application would ask. */
const SETUP = `
  create table public.members (topic text, user_id uuid, primary key (topic, user_id));
  alter table public.members enable row level security;
  grant select on public.members to authenticated;
  create policy own on public.members for select to authenticated
    using (user_id = (select auth.uid()));
  create policy read on realtime.messages for select to authenticated
    using (exists (select from public.members as m where m.topic = (select realtime.topic())));
  create policy write on realtime.messages for insert to authenticated
    with check (exists (select from public.members as m where m.topic = (select realtime.topic())));
  insert into public.members values ('bench', 'a1b2c3d4-0000-4000-8000-000000000001');`;

/** Runs every bench of the domain. */
export async function benchRealtime(say: (line: string) => void): Promise<BenchResult[]> {
  return await withCluster(async (port) => {
    await createDatabase(port, DATABASE);
    await asAdmin(port, DATABASE, (sql) => sql.unsafe(SETUP));
    const adminUrl = databaseUrl(port, SUPERUSER, DATABASE);
    const product = await Child.start<Target>("realtime_server.ts", { adminUrl });
    const plain = await Child.start<Target>("realtime_ws_server.ts", {});
    try {
      say(`fan-out to ${SUBSCRIBERS}, ${ROUNDS} rounds in turn`);
      const options: LoadOptions = {
        ...{ product: product.first, plain: plain.first, adminUrl },
        ...{ subscribers: SUBSCRIBERS, messages: MESSAGES, rounds: ROUNDS },
        ...{ commits: COMMITS, idle: IDLE },
      };
      const load = await Child.start<"ready">("realtime_load.ts", options);
      const servers = [product, plain];
      const before = await Promise.all(servers.map((server) => server.ask<number>("cpu")));
      const rates = await load.next<Rates>();
      const after = await Promise.all(servers.map((server) => server.ask<number>("cpu")));
      const commits = await load.next<number[]>();
      await load.end();
      say(`${IDLE} connections that are held`);
      const [productIdle, plainIdle] = [
        await idleBytes(product, options),
        await idleBytes(plain, options),
      ];
      const deliveries = ROUNDS * MESSAGES * SUBSCRIBERS;
      const micros = after.map((cpu, i) => (cpu - before[i]!) / deliveries);
      return [fanOut(rates, micros), latency(commits), memory(productIdle, plainIdle)];
    } finally {
      await Promise.all([product.end(), plain.end()]);
    }
  });
}

/** Bytes that a server needs for each of many connections that say nothing. */
async function idleBytes(server: Child<Target>, options: LoadOptions): Promise<number> {
  const before = await server.ask<number>("memory");
  const load = await Child.start<"ready">("realtime_load.ts", {
    ...options,
    ...{ product: server.first, subscribers: 0 },
  });
  const after = await server.ask<number>("memory");
  await load.end();
  return (after - before) / options.idle;
}

/** @param micros Of the processor for one delivery, of each; it hardly depends on who else works. */
function fanOut({ product, plain }: Rates, micros: number[]): BenchResult {
  const ratios = product.map((rate, i) => rate / plain[i]!);
  const ratio = median(ratios);
  const cpu = micros.map((value) => `${value.toFixed(1)} µs`).join(" against ");
  const rate = (rates: number[]) => `${Math.round(median(rates)).toLocaleString("en")}/s`;
  return {
    name: `deliveries to ${SUBSCRIBERS} subscribers of a private channel, against a bare ws server`,
    ratio: round(ratio),
    goal: `>= ${LEAST_RATE}`,
    met: ratio >= LEAST_RATE,
    rounds: ROUNDS,
    spread: [round(Math.min(...ratios)), round(Math.max(...ratios))],
    figures: `${rate(product)} against ${rate(plain)}; of the processor ${cpu} each`,
  };
}

function latency(commits: number[]): BenchResult {
  const sorted = commits.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1]!;
  return {
    name: `realtime.send until the last of ${SUBSCRIBERS} subscribers has it`,
    ratio: null,
    goal: `p95 <= ${MOST_P95_MS} ms`,
    met: at(0.95) <= MOST_P95_MS,
    rounds: COMMITS,
    spread: null,
    figures: `p50 ${ms(at(0.5))}, p95 ${ms(at(0.95))}, p99 ${ms(at(0.99))}`,
  };
}

function memory(product: number, plain: number): BenchResult {
  const kib = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`;
  return {
    name: `memory of one of ${IDLE} idle connections with a private channel`,
    ratio: null,
    goal: `<= ${kib(MOST_IDLE_BYTES)}`,
    met: product <= MOST_IDLE_BYTES,
    rounds: 1,
    spread: null,
    figures: `${kib(product)}; a bare ws server without channels ${kib(plain)}`,
  };
}

/** A program of this folder that speaks in lines of JSON; its first is what `first` holds. */
class Child<First> {
  readonly #process: Deno.ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  first!: First;

  private constructor(file: string, options: unknown) {
    const path = fromFileUrl(new URL(file, import.meta.url));
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", path, JSON.stringify(options)],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    const lines = createInterface({ input: Readable.from(this.#process.stdout) });
    this.#lines = lines[Symbol.asyncIterator]();
  }

  static async start<First>(file: string, options: unknown): Promise<Child<First>> {
    const child = new Child<First>(file, options);
    child.first = await child.next<First>();
    return child;
  }

  /** What it says next. */
  async next<T>(): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("A process of the bench has ended; what it said is above");
    return JSON.parse(value);
  }

  /** Its answer to a question. */
  async ask<T>(question: string): Promise<T> {
    await this.#input.write(new TextEncoder().encode(`${question}\n`));
    return await this.next<T>();
  }

  /** Closes its input, at which it ends. */
  async end(): Promise<void> {
    await this.#input.close().catch(() => {}); // has ended
    await this.#process.status;
  }
}
