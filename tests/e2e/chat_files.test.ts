// What becomes of a file in chat whose message is deleted, or that never had one: it is gone from
// Storage, also for who has an address that was signed before.

import { assertEquals } from "@std/assert";
import type { Person } from "../support/auth.ts";
import { attach, type Conversation, newTalker, start } from "../support/chat.ts";
import { databaseTest, must, withDatabase } from "../support/people.ts";
import { sweepFiles } from "../support/records_calls.ts";

const bucketOf = ({ client }: Person) => client.storage.from("chat-attachments");

async function upload(person: Person, talk: Conversation): Promise<string> {
  const path = `${talk.id}/${crypto.randomUUID()}`;
  await must(bucketOf(person).upload(path, new Blob(["bytes"], { type: "image/png" })));
  return path;
}

/** As if the files had been uploaded so long ago. */
async function age(paths: string[], interval: string): Promise<void> {
  await withDatabase((sql) =>
    sql`update storage.objects set created_at = now() - ${interval}::interval
      where bucket_id = 'chat-attachments' and name in ${sql(paths)}`
  );
}

async function textAt(address: string): Promise<string | number> {
  const response = await fetch(address);
  const text = await response.text();
  return response.ok ? text : response.status;
}

databaseTest(
  "with its message a file goes, also from addresses that were signed before",
  async () => {
    const [ana, ben] = [await newTalker("Ana"), await newTalker("Ben")];
    const talk = await start(ana, [ben]);
    const deleted = await upload(ana, talk);
    const kept = await upload(ana, talk);
    const unsent = await upload(ana, talk);
    const message = await must(attach(ana, talk, deleted));
    await must(attach(ana, talk, kept));
    const sign = async (person: Person, path: string) =>
      (await must(bucketOf(person).createSignedUrl(path, 600))).signedUrl;
    const signed = [await sign(ben, deleted), await sign(ben, kept), await sign(ana, unsent)];
    const readable = () => Promise.all(signed.map(textAt));
    assertEquals(await readable(), ["bytes", "bytes", "bytes"]);

    await must(ana.client.rpc("delete_message", { p_id: message.id }));
    await sweepFiles();
    assertEquals(await readable(), ["bytes", "bytes", "bytes"], "what is young may be on its way");

    await age([deleted, kept, unsent], "2 hours 1 second");
    await Promise.all([sweepFiles(), sweepFiles()]);
    assertEquals(await readable(), [400, "bytes", 400]);
    await sweepFiles();
    assertEquals(await readable(), [400, "bytes", 400], "swept again, nothing else is gone");
  },
);

databaseTest(
  "a message takes a file within an hour of its upload, and is then sent for good",
  async () => {
    const [ana, ben] = [await newTalker("Ana"), await newTalker("Ben")];
    const talk = await start(ana, [ben]);
    const [late, early] = [await upload(ana, talk), await upload(ana, talk)];
    await age([late], "1 hour");
    const refused = await attach(ana, talk, late);
    assertEquals([refused.status, refused.error?.message], [404, "not_found"]);
    const id = crypto.randomUUID();
    const sent = await must(attach(ana, talk, early, id));
    await age([early], "1 hour");
    assertEquals(
      (await must(attach(ana, talk, early, id))).id,
      sent.id,
      "who has no answer asks again",
    );
  },
);
