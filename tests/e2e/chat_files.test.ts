// What becomes of a file in chat whose message is deleted, or that never had one: it is gone from
// Storage, also for who has an address that was signed before.

import { assertEquals } from "@std/assert";
import type { Person } from "../support/auth.ts";
import { type Conversation, newTalker, start } from "../support/chat.ts";
import { databaseTest, must, withDatabase } from "../support/people.ts";
import { sweepFiles } from "../support/records_calls.ts";

const bucketOf = ({ client }: Person) => client.storage.from("chat-attachments");

async function upload(person: Person, talk: Conversation): Promise<string> {
  const path = `${talk.id}/${crypto.randomUUID()}`;
  await must(bucketOf(person).upload(path, new Blob(["bytes"], { type: "image/png" })));
  return path;
}

function attach({ client }: Person, talk: Conversation, path: string) {
  return client.rpc("send_message", {
    p_conversation_id: talk.id,
    p_content: null,
    p_client_id: path,
    p_kind: "image",
    p_metadata: { path, mime: "image/png", size: 5 },
  });
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
    const signed = await Promise.all(
      [[ben, deleted], [ben, kept], [ana, unsent]].map(async ([person, path]) => {
        const signing = bucketOf(person as Person).createSignedUrl(path as string, 600);
        return (await must(signing)).signedUrl;
      }),
    );
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
    const sent = await must(attach(ana, talk, early));
    await age([early], "1 hour");
    assertEquals(
      (await must(attach(ana, talk, early))).id,
      sent.id,
      "who has no answer asks again",
    );
  },
);
