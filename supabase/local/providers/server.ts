// The server of the doubles: plain HTTP on loopback, on a port of its own, because here a connection can
// be ended in the middle, as a provider that dies does. Deno's own server always answers.

import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type DoubleAnswer, HANG_UP } from "./double.ts";

/** A server that listens. */
export interface DoubleServer {
  /** `http://127.0.0.1:<port>`. */
  url: string;
  close(): Promise<void>;
}

/** Starts a server on a free port of loopback. */
export async function serveDoubles(
  handle: (request: Request) => Promise<DoubleAnswer>,
): Promise<DoubleServer> {
  const server = createServer((incoming, outgoing) => {
    answer(handle, incoming, outgoing).catch(() => incoming.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  handle: (request: Request) => Promise<DoubleAnswer>,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const { method = "GET", url = "/", headers } = incoming;
  const hasBody = method !== "GET" && method !== "HEAD";
  const request = new Request(new URL(url, `http://${headers.host ?? "127.0.0.1"}`), {
    method,
    headers: Object.entries(headers).map(([name, value]) => [name, String(value)]),
    body: hasBody ? Buffer.concat(chunks) : undefined,
  });
  const response = await handle(request);
  if (response === HANG_UP) {
    incoming.socket.destroy();
    return;
  }
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}
