// Realtime behind the gateway on a port of its own, as the stack serves it. Says where it listens and
// with which token; answers `memory` with its resident bytes; ends with its input. Run by realtime.ts.

import postgres from "postgres";
import { tokensOf } from "../../supabase/local/auth/tokens.ts";
import type { StackContext } from "../../supabase/local/context.ts";
import { createGateway } from "../../supabase/local/gateway.ts";
import { loadKeys } from "../../supabase/local/keys.ts";
import { Outbox } from "../../supabase/local/outbox.ts";
import { createRealtime } from "../../supabase/local/realtime/realtime.ts";
import { answerQuestions } from "./realtime_process.ts";

const { adminUrl }: { adminUrl: string } = JSON.parse(Deno.args[0]!);
const dataDir = await Deno.makeTempDir({ prefix: "realtime-bench-" });
const context: StackContext = {
  apiUrl: "http://127.0.0.1",
  dbUrl: adminUrl,
  adminUrl,
  admin: postgres(adminUrl, { max: 20, onnotice: () => {} }),
  keys: await loadKeys(dataDir),
  dataDir,
  outbox: new Outbox(),
  now: Date.now,
};
const none = () => new Response(null, { status: 404 });
const realtime = await createRealtime(context);
const parts = {
  auth: none,
  rest: none,
  storage: none,
  functions: none,
  qstash: none,
  redis: none,
  realtime: realtime.part,
};
const gateway = createGateway(context, parts);
const server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen: () => {} },
  (request, { remoteAddr }) => gateway(request, { address: remoteAddr.hostname }),
);
const token = await tokensOf(context).sign({
  role: "authenticated",
  sub: "a1b2c3d4-0000-4000-8000-000000000001",
  exp: Math.floor(Date.now() / 1000) + 3600,
});
const { port } = server.addr as Deno.NetAddr;
const path = `/realtime/v1/websocket?apikey=${context.keys.publishable}&vsn=2.0.0`;
await answerQuestions({ port, path, token });
await Deno.remove(dataDir, { recursive: true });
Deno.exit(0);
