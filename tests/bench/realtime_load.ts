// The load on a WebSocket server, for Realtime and for the bare server alike: sockets without a library,
// which count what comes and look at nothing. Run by realtime.ts: with subscribers it measures and says
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

/** Deliveries per second by round, and milliseconds from a statement to its last delivery. */
export interface Figures {
  product: number[];
  plain: number[];
  commits: number[];
}

const TOPIC = "realtime:bench";
/** Messages under way at a time; a sender that waits for each would measure the waiting. */
const WINDOW = 10;
const PAYLOAD = JSON.stringify({ text: "x".repeat(180) });
const encoder = new TextEncoder();

/** One connection, which counts the bytes that come. */
class Connection {
  readonly #connection: Deno.TcpConn;
  received = 0;
  /** Called whenever something has come. */
  onReceived = () => {};

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
    await self.#readUntil("\r\n\r\n");
    const join = { config: { private: true, broadcast: { self: false } }, access_token: token };
    await self.send(frame(1, encoder.encode(JSON.stringify(["1", "1", TOPIC, "phx_join", join]))));
    await self.#readUntil("phx_");
    self.#count();
    return self;
  }

  async #readUntil(mark: string): Promise<void> {
    const buffer = new Uint8Array(4096);
    for (let text = ""; !text.includes(mark);) {
      const length = await readSome(this.#connection, buffer);
      text += new TextDecoder().decode(buffer.subarray(0, length));
      if (text.includes('"error"')) throw new Error(`Not joined: ${text}`);
    }
  }

  async #count(): Promise<void> {
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const length = await this.#connection.read(buffer).catch(() => null);
      if (length === null) return;
      this.received += length;
      this.onReceived();
    }
  }

  async send(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length;) at += await this.#connection.write(data.subarray(at));
  }

  close(): void {
    this.#connection.close();
  }
}

async function readSome(connection: Deno.TcpConn, buffer: Uint8Array): Promise<number> {
  const length = await connection.read(buffer);
  if (length === null) throw new Error("The server has closed a connection");
  return length;
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
  /** Bytes of one message on its way to a subscriber. */
  #size = 0;
  #total = 0;
  #last = new Map<Connection, number>();
  #wake = () => {};

  static async gather(target: Target, count: number): Promise<Audience> {
    const self = new Audience();
    self.#sender = await Connection.open(target);
    for (let i = 0; i < count; i++) {
      const subscriber = await Connection.open(target);
      subscriber.onReceived = () => {
        self.#total += subscriber.received - (self.#last.get(subscriber) ?? 0);
        self.#last.set(subscriber, subscriber.received);
        self.#wake();
      };
      self.#subscribers.push(subscriber);
    }
    return self;
  }

  /** Waits until every subscriber has had so many bytes since `from`. */
  async #reached(from: number, bytes: number): Promise<void> {
    const wanted = from + bytes * this.#subscribers.length;
    while (this.#total < wanted) await new Promise<void>((resolve) => this.#wake = resolve);
  }

  /** Learns how long a message is from one that `send` sends: all bytes that come in its wake. */
  async learn(send: () => Promise<unknown>): Promise<void> {
    const one = this.#subscribers[0]!;
    const before = one.received;
    await send();
    let seen: number;
    do {
      seen = this.#total;
      await new Promise((resolve) => setTimeout(resolve, 300));
    } while (this.#total !== seen || one.received === before);
    this.#size = one.received - before;
  }

  /** Sends so many messages; answers deliveries per second. */
  async run(messages: number): Promise<number> {
    const data = broadcast();
    const [began, from] = [performance.now(), this.#total];
    for (let sent = 0; sent < messages; sent++) {
      await this.#reached(from, (sent - WINDOW) * this.#size);
      await this.#sender.send(data);
    }
    await this.#reached(from, messages * this.#size);
    return messages * this.#subscribers.length / (performance.now() - began) * 1000;
  }

  sendOne = () => this.#sender.send(broadcast());

  /** Milliseconds until every subscriber has what `send` sends. */
  async time(send: () => Promise<unknown>): Promise<number> {
    const [began, from] = [performance.now(), this.#total];
    await Promise.all([send(), this.#reached(from, this.#size)]);
    return performance.now() - began;
  }
}

async function measure(options: LoadOptions): Promise<Figures> {
  const figures: Figures = { product: [], plain: [], commits: [] };
  const audiences = {
    product: await Audience.gather(options.product, options.subscribers),
    plain: await Audience.gather(options.plain, options.subscribers),
  };
  for (const audience of Object.values(audiences)) {
    await audience.learn(audience.sendOne);
    await audience.run(options.messages);
  }
  for (let i = 0; i < options.rounds; i++) {
    for (const name of i % 2 ? ["product", "plain"] as const : ["plain", "product"] as const) {
      figures[name].push(await audiences[name].run(options.messages));
    }
  }
  const sql = postgres(options.adminUrl, { max: 1, onnotice: () => {} });
  const send = () => sql`select realtime.send(${PAYLOAD}::text::jsonb, 'e', 'bench', true)`;
  await audiences.product.learn(send);
  for (let i = 0; i < options.commits; i++) {
    figures.commits.push(await audiences.product.time(send));
  }
  await sql.end();
  return figures;
}

if (import.meta.main) {
  const options: LoadOptions = JSON.parse(Deno.args[0]!);
  if (options.subscribers > 0) {
    say("ready");
    say(await measure(options));
  } else {
    const held: Connection[] = [];
    for (let i = 0; i < options.idle; i++) held.push(await Connection.open(options.product));
    await answerQuestions("ready");
  }
  Deno.exit(0);
}
