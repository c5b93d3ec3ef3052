// What function tests stand on: dependencies that are faked in memory, a signer of access tokens, and
// the requests that every route must withstand.

import { assert, assertEquals } from "@std/assert";
import type { Hono } from "hono";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import pg from "pg";
import type { AppEnv } from "../../functions/_shared/app.ts";
import type { Query, Sql, SqlValue, TransactionMode } from "../../functions/_shared/db.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import type { ServerError } from "../../functions/_shared/database_errors.ts";
import { AppError } from "../../functions/_shared/errors.ts";
import { openKeyRing } from "../../functions/_shared/key_ring.ts";
import type { LogEntry } from "../../functions/_shared/log.ts";
import { createQueueReceiver } from "../../functions/_shared/queue.ts";
import { pseudonyms, type RateLimiter } from "../../functions/_shared/rate_limit.ts";
import type { ObjectStore } from "../../functions/_shared/storage.ts";

export const PUBLIC_URL = "https://project.example";
export const ISSUER = `${PUBLIC_URL}/auth/v1`;
export const CALLER_ID = "a1b2c3d4-0000-4000-8000-000000000001";
export const SESSION_ID = "a1b2c3d4-0000-4000-8000-0000000000aa";
/** The secret key of the project that tests stand on. */
export const SECRET_KEY = "sb_secret_tests";
/** Noon of 1 March 2026, UTC. Tokens are checked against the machine's clock, not this one. */
export const NOW_MS = Date.UTC(2026, 2, 1, 12);

/** Two versions of a key-encryption key; the second is current. */
export const KEY_VERSIONS = [1, 2].map((key_version) => ({
  key_id: "test",
  key_version,
  key: new Uint8Array(32).fill(key_version),
}));

/** Keys of the queue. */
export const QUEUE_KEYS = { current: "sig_current_of_tests", next: "sig_next_of_tests" };

const KEY_ID = "test-key";
const keys = await generateKeyPair("ES256", { extractable: true });
export const publicJwk = { ...await exportJWK(keys.publicKey), kid: KEY_ID, alg: "ES256" };

/** Claims of a token that is accepted. */
export function goodClaims(): JWTPayload {
  const now = Math.floor(Date.now() / 1000);
  return {
    sub: CALLER_ID,
    role: "authenticated",
    aud: "authenticated",
    iss: ISSUER,
    iat: now - 10,
    exp: now + 900,
    session_id: SESSION_ID,
    aal: "aal1",
  };
}

/** Signs a token; a claim that is undefined is left out. */
export function sign(
  claims: JWTPayload = goodClaims(),
  key: CryptoKey | Uint8Array = keys.privateKey,
  header: { alg: string; kid?: string } = { alg: "ES256", kid: KEY_ID },
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader(header).sign(key);
}

/** A statement that the code under test has sent. */
export interface Statement {
  /** The text with `$1`, `$2` … for the parameters, on one line. */
  text: string;
  values: SqlValue[];
  /** Which transaction it was part of, from 0. */
  transaction: number;
}

/** What a database function answers: rows, or what it throws. */
export type Answer = object[] | Error | ((values: SqlValue[]) => object[]);

/** A database that answers by what stands in the statement, and remembers all of them. */
export class FakeSql implements Sql {
  readonly statements: Statement[] = [];
  /** How each transaction ended. */
  readonly ended: ("committed" | "rolled back")[] = [];
  /** What each transaction was for. */
  readonly modes: TransactionMode[] = [];
  readonly #answers: Record<string, Answer>;
  session_is_live = true;

  /** @param answers By a part of the statement, for example the function's name. */
  constructor(answers: Record<string, Answer> = {}) {
    this.#answers = answers;
  }

  async begin<T>(
    work: (tx: Query) => Promise<T>,
    mode: TransactionMode = "change",
  ): Promise<T> {
    const transaction = this.ended.length;
    this.ended.push("rolled back");
    this.modes.push(mode);
    const query: Query = (strings, ...values) => {
      const text = strings.reduce((all, part, index) => `${all}$${index}${part}`)
        .replace(/\s+/g, " ").trim();
      this.statements.push({ text, values, transaction });
      return this.#answer(text, values);
    };
    const result = await work(query);
    this.ended[transaction] = "committed";
    return result;
  }

  // deno-lint-ignore no-explicit-any require-await -- a test knows its rows; what throws must reject
  async #answer(text: string, values: SqlValue[]): Promise<any[]> {
    if (text.includes("session_is_live")) return [{ is_live: this.session_is_live }];
    for (const [part, answer] of Object.entries(this.#answers)) {
      if (!text.includes(part)) continue;
      if (answer instanceof Error) throw answer;
      return typeof answer === "function" ? answer(values) : answer;
    }
    if (text.startsWith("select set_config(")) return [{}];
    throw new Error(`The test has no answer for: ${text}`);
  }

  /** The first statement that holds `part`. */
  find(part: string): Statement {
    const found = this.statements.find(({ text }) => text.includes(part));
    if (!found) throw new Error(`No statement holds ${part}`);
    return found;
  }

  /** Settings with which the transaction of a statement began, by name. */
  settingsOf({ transaction }: Statement): Record<string, string> {
    const first = this.statements.find((other) => other.transaction === transaction);
    if (!first?.text.includes("set_config")) {
      throw new Error("The transaction does not begin with its settings");
    }
    let parameter = 0;
    const settings = [
      ...first.text.matchAll(/set_config\('([a-z._]+)', ('[a-z_]+'|\$\d+), true\)/g),
    ];
    return Object.fromEntries(settings.map(([, name = "", value = ""]) => [
      name,
      value.startsWith("$") ? String(first.values[parameter++]) : value.slice(1, -1),
    ]));
  }
}

/** A row in which a function of the database refuses instead of raising. */
export function refused(status: number, message: string, details: string) {
  return [{ code: `PT${status}`, message, details }];
}

/** What the driver throws when a function of the database raises. */
export function raised(code: string, message: string, detail = ""): ServerError {
  return Object.assign(new pg.DatabaseError(message, 0, "error"), { code, detail });
}

/** A bucket in memory. */
export class FakeStore implements ObjectStore {
  readonly objects = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly calls: string[] = [];
  is_down = false;

  async signUpload(path: string) {
    await this.#call("signUpload", path);
    return { url: `${PUBLIC_URL}/storage/v1/object/upload/sign/${path}?token=up`, token: "up" };
  }

  async signDownload(path: string, fileName: string, seconds: number) {
    await this.#call("signDownload", path, fileName, String(seconds));
    return `${PUBLIC_URL}/storage/v1/object/sign/${path}?token=down&download=${fileName}`;
  }

  async open(path: string) {
    await this.#call("open", path);
    const bytes = this.objects.get(path);
    return bytes ? new Blob([bytes]).stream() : null;
  }

  async create(path: string, bytes: Uint8Array<ArrayBuffer>) {
    await this.#call("create", path);
    if (this.objects.has(path)) return false;
    this.objects.set(path, bytes);
    return true;
  }

  async remove(paths: string[]) {
    await this.#call("remove", ...paths);
    for (const path of paths) this.objects.delete(path);
  }

  // deno-lint-ignore require-await -- what throws must reject
  async #call(...words: string[]): Promise<void> {
    this.calls.push(words.join(" "));
    if (this.is_down) {
      throw new AppError("unavailable", "File storage does not answer", { retryAfterSeconds: 10 });
    }
  }
}

/** A limiter that lets everybody through. */
export const NO_LIMIT: RateLimiter = {
  take: (_key, { capacity }) =>
    Promise.resolve({ allowed: true, remaining: capacity - 1, reset_seconds: 1 }),
};

export interface FakeDeps extends Deps {
  sql: FakeSql;
  recordFiles: FakeStore;
  chatFiles: FakeStore;
  /** Every line that was logged. */
  logged: LogEntry[];
}

/** Dependencies without network, files or database. */
export function fakeDeps(
  answers: Record<string, Answer> = {},
  changes: Partial<Deps> = {},
): FakeDeps {
  const logged: LogEntry[] = [];
  return {
    now: () => NOW_MS,
    log: (entry) => logged.push(entry),
    auth: {
      issuer: ISSUER,
      env: {
        url: PUBLIC_URL,
        publishableKeys: { default: "sb_publishable_tests" },
        secretKeys: { default: SECRET_KEY, next: `${SECRET_KEY}_next` },
        jwks: { keys: [publicJwk] },
      },
    },
    keyRing: openKeyRing(KEY_VERSIONS),
    blindIndexKey: new Uint8Array(32).fill(9),
    rateLimiter: NO_LIMIT,
    queue: createQueueReceiver(QUEUE_KEYS),
    pseudonym: pseudonyms("a secret of tests"),
    allowedOrigins: ["https://app.example"],
    publicUrl: PUBLIC_URL,
    ...changes,
    sql: new FakeSql(answers),
    recordFiles: new FakeStore(),
    chatFiles: new FakeStore(),
    logged,
  };
}

/** An app under test and what it was built from. */
export interface Subject {
  app: Hono<AppEnv>;
  deps: FakeDeps;
}

/** Sends JSON as the signed-in caller; headers that are undefined are left out. */
export async function post(
  { app }: Subject,
  path: string,
  body?: string | Uint8Array<ArrayBuffer> | object,
  headers: Record<string, string> = {},
  method: "POST" | "PUT" | "PATCH" = "POST",
): Promise<Response> {
  const isRaw = typeof body === "string" || body instanceof Uint8Array || body === undefined;
  return await app.request(path, {
    method,
    headers: {
      authorization: `Bearer ${await sign()}`,
      "content-type": "application/json",
      ...headers,
    },
    body: isRaw ? body : JSON.stringify(body),
  });
}

/** Checks that a response is a failure in the envelope, and gives its error. */
export async function assertFailure(response: Response, status: number, code: string) {
  const body = await response.json();
  assertEquals({ status: response.status, code: body.error?.code }, { status, code });
  assertEquals(Object.keys(body).toSorted(), ["error", "success", "timestamp"]);
  assertEquals(body.success, false);
  assertEquals(body.error.request_id, response.headers.get("x-request-id"));
  assert(body.error.message.length > 0);
  assert(!Number.isNaN(Date.parse(body.timestamp)));
  return body.error;
}

/** Checks that a response is a success in the envelope, and gives its data. */
export async function assertSuccess(response: Response) {
  const body = await response.json();
  assertEquals({ status: response.status, error: body.error }, { status: 200, error: undefined });
  assertEquals(body.success, true);
  assert(!Number.isNaN(Date.parse(body.timestamp)));
  return body.data;
}
