// Runs the embedded stack's command line as a person does: in a process of its own, on free ports and a
// data folder that is thrown away.

import { join } from "@std/path";
import postgres from "postgres";
import { PROJECT } from "../../supabase/local/cli.ts";
import { databaseUrl, stopCluster, SUPERUSER } from "../../supabase/local/postgres.ts";
import { freePort } from "../../tools/throwaway.ts";

/** Waits, at most a minute, until `condition` holds. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!await condition()) {
    if (performance.now() > deadline) throw new Error("What was waited for did not come");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** How one command ended. */
export interface Ended {
  code: number;
  /** All that it printed on both channels. */
  text: string;
}

/** A place for a stack: a data folder and two ports, and the commands on it. */
export class Site {
  readonly apiPort = freePort();
  readonly dbPort = freePort();
  #started: StackProcess[] = [];

  private constructor(readonly folder: string, readonly dataDir: string) {}

  /** Runs `work` with a new site; whatever it leaves running is ended. */
  static async use(work: (site: Site) => Promise<void>): Promise<void> {
    const folder = await Deno.makeTempDir({ prefix: "beautiful-life-" });
    await Deno.chmod(folder, 0o755);
    const site = new Site(folder, join(folder, "data"));
    try {
      await work(site);
    } finally {
      for (const process of site.#started) await process.kill();
      await stopCluster(join(site.dataDir, "db"));
      await Deno.remove(folder, { recursive: true });
    }
  }

  /** As {@link use}, with a database from the start: a copy of one that was made once. */
  static async usePrepared(work: (site: Site) => Promise<void>): Promise<void> {
    const prepared = await (Site.#prepared ??= Site.#prepare());
    await Site.use(async (site) => {
      // cp keeps owners and modes, on which PostgreSQL insists.
      await new Deno.Command("cp", { args: ["-a", prepared, site.dataDir] }).output();
      await work(site);
    });
  }

  static #prepared: Promise<string> | undefined;

  static async #prepare(): Promise<string> {
    const folder = await Deno.makeTempDir({ prefix: "beautiful-life-prepared-" });
    globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
    await Deno.chmod(folder, 0o755);
    const site = new Site(folder, join(folder, "data"));
    const { code, text } = await site.run("reset");
    if (code !== 0) throw new Error(`Cannot prepare a database: ${text}`);
    return site.dataDir;
  }

  /** Environment of the commands. */
  env(more: Record<string, string> = {}): Record<string, string> {
    return {
      NO_COLOR: "1",
      BL_DATA_DIR: this.dataDir,
      BL_API_PORT: String(this.apiPort),
      BL_DB_PORT: String(this.dbPort),
      ...more,
    };
  }

  /** Begins `start`; {@link StackProcess.ready} says when it is done. */
  start(
    env: Record<string, string> = {},
    options: Partial<Deno.CommandOptions> = {},
  ): StackProcess {
    const process = new StackProcess(["start"], { env: this.env(env), ...options });
    this.#started.push(process);
    return process;
  }

  /** Runs a command as another user, with that user's own home; only root may. */
  async runAs(uid: number, command: string): Promise<StackProcess> {
    const home = join(this.folder, "home");
    // Root's Deno may be where others may not look.
    const deno = join(this.folder, "deno");
    if (!await Deno.stat(home).then(() => true, () => false)) {
      await Deno.mkdir(home);
      await Deno.chown(home, uid, uid);
      await Deno.copyFile(Deno.execPath(), deno);
      await Deno.chmod(deno, 0o755);
    }
    const env = this.env({ HOME: home, DENO_DIR: join(home, "deno") });
    const process = new StackProcess([command], { env, uid, gid: uid }, deno);
    this.#started.push(process);
    return process;
  }

  /** Runs a command to its end. */
  async run(command: string, ...args: string[]): Promise<Ended> {
    return await new StackProcess([command, ...args], { env: this.env() }).ended;
  }

  /** Runs a query as the superuser. */
  async query(query: string): Promise<Record<string, unknown>[]> {
    const sql = postgres(databaseUrl(this.dbPort, SUPERUSER), { max: 1, onnotice: () => {} });
    try {
      return [...await sql.unsafe(query)];
    } finally {
      await sql.end();
    }
  }

  /** Runs `work` while a transaction of the superuser's is open that has run `query`. */
  async withQuery(query: string, work: () => Promise<void>): Promise<void> {
    const sql = postgres(databaseUrl(this.dbPort, SUPERUSER), { max: 1, onnotice: () => {} });
    try {
      await sql.unsafe(`begin; ${query}`);
      await work();
    } finally {
      await sql.end({ timeout: 0 });
    }
  }

  /** Process number of PostgreSQL's first process. */
  async postmasterPid(): Promise<number> {
    const lock = await Deno.readTextFile(join(this.dataDir, "db", "postmaster.pid"));
    return Number(lock.split("\n")[0]);
  }

  /** What PostgreSQL has written to its log so far. */
  async serverLog(): Promise<string> {
    return await Deno.readTextFile(join(this.dataDir, "db", "server.log"));
  }

  /** Whether the gateway says that it is ready. */
  async isReady(): Promise<boolean> {
    return await fetch(`http://127.0.0.1:${this.apiPort}/_local/health`)
      .then(async (response) => (await response.json()).ready === true)
      .catch(() => false);
  }
}

/** One run of the stack's command line. */
export class StackProcess {
  readonly #child: Deno.ChildProcess;
  /** Resolves when the process and its output have ended. */
  readonly ended: Promise<Ended>;
  #text = "";
  #heard = Promise.withResolvers<void>();

  constructor(args: string[], options: Deno.CommandOptions, deno = Deno.execPath()) {
    this.#child = new Deno.Command(deno, {
      args: ["run", "-A", "-q", "supabase/local/main.ts", ...args],
      cwd: PROJECT,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...options,
    }).spawn();
    const read = async (stream: ReadableStream<Uint8Array>) => {
      for await (const part of stream.pipeThrough(new TextDecoderStream())) {
        this.#text += part;
        if (this.#text.includes("is ready in")) this.#heard.resolve();
      }
    };
    this.ended = Promise.all([
      this.#child.status,
      read(this.#child.stdout),
      read(this.#child.stderr),
    ]).then(([{ code }]) => {
      this.#heard.resolve();
      return { code, text: this.#text };
    });
  }

  /** Waits for a started stack to say that it is ready; throws what it said when it ended instead. */
  async ready(): Promise<void> {
    await this.#heard.promise;
    if (!this.#text.includes("is ready in")) throw new Error(`The stack ended: ${this.#text}`);
  }

  /** Sends a signal. */
  signal(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Ends the process at once, if it has not ended. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // has ended
    }
    await this.ended;
  }
}
