// What a request to the queue asks for. Destinations stand raw in the path, with their own slashes and
// query, so the target is taken as it came and never split by a router.

import { invalid, overLimit } from "./errors.ts";

/** A request below the queue's base path. */
export interface QueueRequest {
  method: string;
  /** Everything after `/v2/`, query included, as it came. */
  target: string;
  /** The same without the query. */
  path: string;
  query: URLSearchParams;
  headers: Headers;
  body: Uint8Array<ArrayBuffer>;
  /** Address of the caller. */
  callerIp: string;
}

/** Largest body that is taken: hosted QStash's limit on paid plans. */
const MAX_BODY_BYTES = 10 * 1024 * 1024;

/** Reads a request; undefined when its path is none of the queue's. */
export async function readRequest(
  request: Request,
  base: string,
  callerIp: string,
): Promise<QueueRequest | undefined> {
  const start = `${new URL(request.url).origin}${base}/v2/`;
  if (!request.url.startsWith(start)) return undefined;
  const target = request.url.slice(start.length).replace(/#.*$/s, "");
  const [path, query] = split(target);
  return {
    method: request.method,
    target,
    path,
    query: new URLSearchParams(query),
    headers: request.headers,
    body: await readBody(request),
    callerIp,
  };
}

function split(target: string): [string, string] {
  const at = target.indexOf("?");
  return at < 0 ? [target, ""] : [target.slice(0, at), target.slice(at + 1)];
}

async function readBody(request: Request): Promise<Uint8Array<ArrayBuffer>> {
  if (Number(request.headers.get("content-length")) > MAX_BODY_BYTES) throw tooLarge();
  const bytes = new Uint8Array(await request.arrayBuffer());
  if (bytes.length > MAX_BODY_BYTES) throw tooLarge();
  return bytes;
}

const tooLarge = () => overLimit(`Body is over ${MAX_BODY_BYTES} bytes`);

/** Reads JSON of a body. */
export function readJson({ body }: QueueRequest): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    throw invalid("Body is not JSON");
  }
}
