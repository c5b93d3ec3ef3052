// The load on a WebSocket server, for Realtime and for the bare server alike: sockets without a library,
// which count frames and look at nothing in them. Run by realtime.ts: with subscribers it measures and says
// the figures; without it holds idle connections until its input ends.

import postgres from "postgres";
import { answerQuestions, say } from "./realtime_process.ts";

/** Where a server is. */
export interface Target {
  port: number;
  path: string;
  /** Who joins the private channel; a bare server has none. */
  token: string;
}

export interface LoadOptions {
  product: Target;
  plain: Target;
  adminUrl: string;
  subscribers: number;
  /** Of one round. */
  messages: number;
  rounds: number;
  commits: number;
  /** Connections to hold to `product`. */
  idle: number;
}

/** Deliveries per second by round. */
export interface Rates {
  product: number[];
  plain: number[];
}

const TOPIC = "realtime:bench";
/** Messages under way at a time; a sender that waits for each would measure the waiting. */
const WINDOW = 10;
const PAYLOAD = JSON.stringify({ text: "x".repeat(180) });
const encoder = new TextEncoder();

/** Counts the frames of a server in a stream of bytes, wherever the stream is cut. */
class FrameCounter {
  /** The beginning of a frame whose length is not known yet. */
  #head: number[] = [];
  /** Bytes that are missing of the frame that is being read. */
  #missing = 0;

  /** Number of frames that `data` completes. */
  count(data: Uint8Array): number {
    let frames = 0;
    for (let at = 0; at < data.length;) {
      if (this.#missing > 0) {
        const step = Math.min(this.#missing, data.length - at);
        at += step;
        this.#missing -= step;
        if (this.#missing === 0) frames++;
        continue;
      }
      this.#head.push(data[at++]!);
      const [, size, high, low] = this.#head;
      if (size === 127) throw new Error("A frame is longer than any that is sent here");
      if (size === undefined || (size === 126 && low === undefined)) continue;
      this.#missing = size === 126 ? high! * 256 + low! : size;
      this.#head = [];
    }
    return frames;
  }
}

/** One connection, which counts what comes. */
class Connection {
  readonly #connection: Deno.TcpConn;
  readonly #frames = new FrameCounter();
  /** Called with the number of messages that have come, and the bytes that ended them. */
  onReceived: (count: number, data: Uint8Array) => void = () => {};

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
    connection.setNoDelay(true);
  }

  /** Connects, upgrades and joins. */
  static async open({ port, path, token }: Target): Promise<Connection> {
    const self = new Connection(await Deno.connect({ hostname: "127.0.0.1", port }));
    const key = btoa("0123456789abcdef");
    await self.#connection.write(encoder.encode(
      `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nconnection: Upgrade\r\n` +
        `upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
    ));
    await self.#readHead();
    const join = { config: { private: true, broadcast: { self: false } }, access_token: token };
    await self.send(frame(1, encoder.encode(JSON.stringify(["1", "1", TOPIC, "phx_join", join]))));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    self.onReceived = (_, data) => {
      const reply = new TextDecoder().decode(data);
      if (reply.includes('"error"')) reject(new Error(`Not joined: ${reply}`));
      else resolve();
    };
    self.#count();
    await promise;
    return self;
  }

  /** Reads what the server answers to the upgrade; it says nothing more before it is asked. */
  async #readHead(): Promise<void> {
    const buffer = new Uint8Array(4096);
    for (let text = ""; !text.endsWith("\r\n\r\n");) {
      const length = await this.#connection.read(buffer);
      if (length === null) throw new Error(`The server has refused a connection: ${text}`);
      text += new TextDecoder().decode(buffer.subarray(0, length));
    }
  }

  async #count(): Promise<void> {
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const length = await this.#connection.read(buffer).catch(() => null);
      if (length === null) return;
      const data = buffer.subarray(0, length);
      const count = this.#frames.count(data);
      if (count > 0) this.onReceived(count, data);
    }
  }

  async send(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length;) at += await this.#connection.write(data.subarray(at));
  }

  close(): void {
    this.#connection.close();
  }
}

/** A frame of a client's, masked with zeros. */
function frame(opcode: 1 | 2, payload: Uint8Array): Uint8Array {
  const { length } = payload;
  const size = length < 126 ? [0x80 | length] : [0x80 | 126, length >> 8, length & 255];
  return Uint8Array.from([0x80 | opcode, ...size, 0, 0, 0, 0, ...payload]);
}

/** A broadcast as the client sends it in version 2.0.0. */
function broadcast(): Uint8Array {
  const parts = ["1", "2", TOPIC, "e"];
  const head = [3, ...parts.map((part) => part.length), 0, 1];
  return frame(2, Uint8Array.from([...head, ...encoder.encode(parts.join("") + PAYLOAD)]));
}

/** Subscribers of one server and somebody who sends to them. */
class Audience {
  #subscribers: Connection[] = [];
  #sender!: Connection;
  /** Messages that have come to all of them together. */
  #total = 0;
  #wake = () => {};

  static async gather(target: Target, count: number): Promise<Audience> {
    const self = new Audience();
    self.#sender = await Connection.open(target);
    for (let i = 0; i < count; i++) {
      const subscriber = await Connection.open(target);
      subscriber.onReceived = (messages) => {
        self.#total += messages;
        self.#wake();
      };
      self.#subscribers.push(subscriber);
    }
    return self;
  }

  /** Waits until every subscriber has had so many messages since `from`. */
  async #reached(from: number, messages: number): Promise<void> {
    const wanted = from + messages * this.#subscribers.length;
    while (this.#total < wanted) await new Promise<void>((resolve) => this.#wake = resolve);
  }

  /** Sends so many messages; answers deliveries per second. */
  async run(messages: number): Promise<number> {
    const data = broadcast();
    const [began, from] = [performance.now(), this.#total];
    for (let sent = 0; sent < messages; sent++) {
      await this.#reached(from, sent - WINDOW);
      await this.#sender.send(data);
    }
    await this.#reached(from, messages);
    return messages * this.#subscribers.length / (performance.now() - began) * 1000;
  }

  /** Milliseconds until every subscriber has the one message that `send` sends. */
  async time(send: () => Promise<unknown>): Promise<number> {
    const [began, from] = [performance.now(), this.#total];
    await Promise.all([send(), this.#reached(from, 1)]);
    return performance.now() - began;
  }
}

/** Says when everybody has joined, then the {@link Rates}, then how long each commit took in ms. */
async function measure(options: LoadOptions): Promise<void> {
  const rates: Rates = { product: [], plain: [] };
  const audiences = {
    product: await Audience.gather(options.product, options.subscribers),
    plain: await Audience.gather(options.plain, options.subscribers),
  };
  for (const audience of Object.values(audiences)) await audience.run(options.messages);
  say("ready");
  for (let i = 0; i < options.rounds; i++) {
    for (const name of i % 2 ? ["product", "plain"] as const : ["plain", "product"] as const) {
      rates[name].push(await audiences[name].run(options.messages));
    }
  }
  say(rates);
  const sql = postgres(options.adminUrl, { max: 1, onnotice: () => {} });
  const send = () => sql`select realtime.send(${PAYLOAD}::text::jsonb, 'e', 'bench', true)`;
  await audiences.product.time(send);
  const commits: number[] = [];
  for (let i = 0; i < options.commits; i++) commits.push(await audiences.product.time(send));
  say(commits);
  await sql.end();
}

if (import.meta.main) {
  const options: LoadOptions = JSON.parse(Deno.args[0]!);
  if (options.subscribers > 0) {
    await measure(options);
  } else {
    const held: Connection[] = [];
    for (let i = 0; i < options.idle; i++) held.push(await Connection.open(options.product));
    await answerQuestions("ready");
  }
  Deno.exit(0);
}
