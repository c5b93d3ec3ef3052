// What the parts of the embedded stack share: addresses, keys, a database pool and the outbox.
// A part is a function from this to a fetch handler; gateway.ts puts the parts behind one address.

import type postgres from "postgres";
import type { LocalKeys } from "./keys.ts";
import type { Outbox } from "./outbox.ts";

/** What every part is built from. */
export interface StackContext {
  /** Public base URL, for example `http://127.0.0.1:54321`, without a slash at its end. */
  apiUrl: string;
  /** Connection URL of the role `postgres`, which functions and migrations use. */
  dbUrl: string;
  /** Connection URL of the superuser, for parts that switch to the request's role themselves. */
  adminUrl: string;
  /** Pool of superuser connections. Data requests on it must `set local role` first. */
  admin: postgres.Sql;
  /** API keys and signing keys of this stack. */
  keys: LocalKeys;
  /** Folder for files of the stack: stored objects, keys. */
  dataDir: string;
  /** Every mail and message that would have been sent. */
  outbox: Outbox;
  /** Clock, milliseconds since the epoch; tests may move it. */
  now: () => number;
}

/** What is known of the connection beside the request itself. */
export interface Peer {
  /** Address of the client, for example `127.0.0.1`. */
  address: string;
}

/** A part of the stack: answers every request below its prefix. */
export type Part = (request: Request, peer: Peer) => Response | Promise<Response>;
