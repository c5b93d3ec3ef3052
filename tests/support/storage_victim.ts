// A process that changes objects until it is killed, for the test of what a kill leaves behind. It
// prints a line at every step, so that its killer can choose the moment.
// Arguments: <data folder> <bucket> <application name>; BL_LOCAL_ADMIN_URL names the database.

import postgres from "postgres";
import { Blobs } from "../../supabase/local/storage/blobs.ts";
import { SERVICE } from "../../supabase/local/storage/caller.ts";
import { type Actor, Database } from "../../supabase/local/storage/database.ts";
import { Objects } from "../../supabase/local/storage/objects.ts";

const [root, bucket, application_name] = Deno.args as [string, string, string];
const sql = postgres(Deno.env.get("BL_LOCAL_ADMIN_URL") ?? "", {
  max: 4,
  connection: { application_name },
});
const objects = new Objects(new Database(sql), new Blobs(root), Date.now);
const actor: Actor = { caller: SERVICE, operation: "test", method: "", path: "" };
const name = () => ({ bucket, key: `object ${Math.floor(Math.random() * 4)}` });

/** A few chunks, with a line before each. */
async function* body() {
  for (let chunk = 0; chunk < 1 + Math.random() * 4; chunk++) {
    console.log("chunk");
    yield crypto.getRandomValues(new Uint8Array(20_000));
  }
}

const upload = () =>
  objects.upload(actor, name(), () =>
    Promise.resolve({
      mimeType: "application/octet-stream",
      body: body(),
      describe: () => ({ cacheControl: "no-cache" }),
      [Symbol.dispose]: () => {},
    }), { upsert: true });
const copy = () => objects.copy(actor, name(), name(), { upsert: true, copyMetadata: true });
const actions = [
  upload,
  upload,
  copy,
  () => objects.move(actor, name(), name()),
  () => objects.remove(actor, bucket, [name().key]),
];

async function work(): Promise<never> {
  for (;;) {
    const action = actions[Math.floor(Math.random() * actions.length)]!;
    // Copies of what is not there, and moves to what is, are refused; that is no matter here.
    await action().catch(() => {});
    console.log("done");
  }
}
await Promise.all([work(), work(), work()]);
