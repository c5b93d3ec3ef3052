// The bare server that Realtime is measured against: npm's ws, which sends each binary frame to every
// other connection and a text frame back. Speaks as realtime_server.ts does.

import { WebSocketServer } from "ws";
import { answerQuestions } from "./realtime_process.ts";

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
await new Promise<void>((resolve) => server.on("listening", resolve));

/** What is used of one; the package brings no types. */
interface Socket {
  on(event: "message", listener: (data: Uint8Array, binary: boolean) => void): void;
  on(event: "error", listener: () => void): void;
  send(data: Uint8Array, options: { binary: boolean }): void;
}

server.on("connection", (socket: Socket) => {
  socket.on("message", (data, binary) => {
    if (!binary) return socket.send(data, { binary });
    for (const other of server.clients) if (other !== socket) other.send(data, { binary });
  });
  socket.on("error", () => {});
});
const { port } = server.address() as { port: number };
await answerQuestions({ port, path: "/", token: "" });
Deno.exit(0);
