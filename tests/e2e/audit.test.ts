// The audit trail as its readers meet it: an administrator seals, checks and searches, a patient proves
// an event with code of their own, the head is in Storage for good, and an exported log is checked by
// the verifier that stands alone.

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { calculateJwkThumbprint, decodeJwt, exportJWK, generateKeyPair } from "jose";
import postgres from "postgres";
import { createHeadSigner, type Head } from "../../functions/audit/heads.ts";
import { PROJECT } from "../../supabase/local/cli.ts";
import { withFolder } from "../../tools/throwaway.ts";
import { rootOfPath } from "../../tools/verify_audit.ts";
import { newPerson, type Person, present, tokenOf } from "../support/auth.ts";
import { newClient, testEnv } from "../support/env.ts";
import { databaseTest, must, newPatient, theAdmin, withDatabase } from "../support/people.ts";
import { send } from "../support/requests.ts";

/** Asks the function to seal. */
async function requestSeal(person: Person | null) {
  return await send("/functions/v1/audit/seal", {
    method: "POST",
    ...person && { token: await tokenOf(person.client) },
  });
}

/** Seals as the administrator until nothing is left over; answers the head. */
async function sealAll(): Promise<{ seal_id: number; hash: string; status: string }> {
  const admin = await theAdmin();
  while (true) {
    const { status, body } = await requestSeal(admin);
    assertEquals(status, 200, JSON.stringify(body));
    if (body.data.is_drained) return body.data.head;
  }
}

/** The newest event about somebody, found by the administrator. */
async function newestEvent(patient: Person): Promise<number> {
  const { client } = await theAdmin();
  const [row] = await must(client.rpc("audit_search", {
    p_patient_id: patient.id,
    p_resource_type: "medical_record",
    p_limit: 1,
  }));
  return present(row).id;
}

async function addRecord({ client, id }: Person) {
  await must(
    client.from("medical_records")
      .insert({ patient_id: id, title: "Letter", record_type: "other" }).select("id").single(),
  );
}

databaseTest("a patient proves that an event is in the sealed trail", async (t) => {
  const [patient, stranger] = await Promise.all([newPatient(), newPatient()]);
  await addRecord(patient);
  const eventId = await newestEvent(patient);
  await sealAll();

  const [proof] = await must(patient.client.rpc("audit_proof", { p_event_id: eventId }));
  await t.step("by the path from the leaf to the root", async () => {
    const root = await rootOfPath(proof.leaf_hash, proof.position, proof.tree_size, proof.path);
    assertEquals(root, proof.merkle_root);
    const elsewhere = await rootOfPath(
      proof.leaf_hash,
      proof.position ^ 1,
      proof.tree_size,
      proof.path,
    );
    assert(elsewhere !== proof.merkle_root);
  });
  await t.step("and the seal around the root", async () => {
    const bytes = new TextEncoder().encode(proof.seal_canonical);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    assertEquals(digest, proof.hash);
    const [form, id, , , size, root, previous] = JSON.parse(proof.seal_canonical);
    assertEquals([form, id, size, root, previous], [
      "audit_seal/1",
      proof.seal_id,
      proof.tree_size,
      proof.merkle_root,
      proof.previous_hash,
    ]);
  });
  await t.step("which an administrator gets, too, and a stranger does not", async () => {
    const { client } = await theAdmin();
    const [same] = await must(client.rpc("audit_proof", { p_event_id: eventId }));
    assertEquals(same, proof);
    const { error } = await stranger.client.rpc("audit_proof", { p_event_id: eventId });
    assertEquals([error?.code, error?.message], ["PT404", "not_found"]);
  });
});

databaseTest("an event that is not sealed yet has no proof yet", async () => {
  const patient = await newPatient();
  await addRecord(patient);
  const { error } = await patient.client.rpc("audit_proof", {
    p_event_id: await newestEvent(patient),
  });
  assertEquals([error?.code, error?.message], ["PT409", "not_sealed"]);
});

databaseTest("audit/seal is for administrators with a second factor", async () => {
  const patient = await newPatient();
  const admin = await newPerson();
  await withDatabase((sql) =>
    sql`update public.profiles set role = 'admin' where id = ${admin.id}`
  );
  assertEquals((await requestSeal(null)).status, 401);
  assertEquals((await requestSeal(patient)).status, 403);
  assertEquals((await requestSeal(admin)).status, 403);
  const forged = await send("/functions/v1/audit/seal", {
    method: "POST",
    headers: { "upstash-signature": "x.y.z" },
  });
  assertEquals(forged.status, 401);
});

databaseTest(
  "the head of the trail lies in Storage, where nobody signed in reaches it",
  async () => {
    await addRecord(await newPatient());
    const head = await sealAll();
    const path = `${head.seal_id}.json`;
    const storage = newClient(testEnv().secretKey).storage.from("audit-heads");
    const file = await must(storage.download(path));
    const { protected: header, payload, signature } = JSON.parse(await file.text());
    const published = decodeJwt(`${header}.${payload}.${signature}`);
    assertEquals(published.hash, head.hash);
    assertEquals(published.seal_id, head.seal_id);

    const admin = await theAdmin();
    for (const { client } of [admin, await newPatient()]) {
      const own = client.storage.from("audit-heads");
      assert((await own.download(path)).error);
      assert((await own.upload(path, new Blob(["{}"]), { upsert: true })).error);
      assert((await own.upload("1000000.json", new Blob(["{}"]))).error);
      assertEquals((await own.remove([path])).data ?? [], []);
      assertEquals((await own.list()).data ?? [], []);
    }
    // As the function would, were it to come again with something else.
    const again = await storage.upload(path, new Blob(["{}"], { type: "application/json" }));
    assert(again.error);
    assertEquals(await (await must(storage.download(path))).text(), await file.text());
  },
);

databaseTest(
  "verify_audit and audit_search are for administrators, and are events themselves",
  async () => {
    const { client, id } = await theAdmin();
    const patient = await newPatient();
    const [before] = await withDatabase((sql) =>
      sql<{ at: Date }[]>`select clock_timestamp() as at`
    );
    await addRecord(patient);
    await sealAll();
    const [verdict] = await must(
      client.rpc("verify_audit", { p_from: present(before).at.toISOString() }),
    );
    assertEquals(verdict, {
      ok: true,
      checked: verdict.checked,
      first_bad_id: null,
      first_bad_seal_id: null,
      reason: null,
    });
    assert(verdict.checked > 0);

    const rows = await must(client.rpc("audit_search", { p_patient_id: patient.id }));
    assert(rows.length > 0);
    assert(rows.every((row: object) => !("new_values" in row) && !("old_values" in row)));
    const [mine] = await must(
      client.rpc("audit_search", { p_actor_id: id, p_action: "verify_audit" }),
    );
    assertEquals(mine.resource_type, "audit_seal");
    const log = await must(patient.client.rpc("my_access_log"));
    assertEquals(log[0].action, "search_audit");
    assertEquals(log[0].actor_id, id);

    for (const name of ["verify_audit", "audit_search"]) {
      const { error } = await patient.client.rpc(name);
      assertEquals([error?.code, error?.message], ["PT403", "forbidden"]);
    }
  },
);

/** Runs a command; answers its code and all that it printed. */
async function run(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: PROJECT,
    env: { SUPABASE_DB_URL: present(testEnv().dbUrl), NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), text: decoder.decode(stderr) };
}

databaseTest(
  "an exported log is checked by the verifier alone, by seal and by signed head",
  async () => {
    const patient = await newPatient();
    await addRecord(patient);
    const { seal_id, hash } = await sealAll();
    const head = await withDatabase(async (sql: postgres.Sql) => {
      const [row] = await sql<Head[]>`
      select seal_id::integer, hash, merkle_root, canonical, sealed_at::text
      from private.audit_head()`;
      return present(row);
    });
    await withFolder(async (folder) => {
      const [log, headPath, keyPath] = ["log.ndjson", "head.json", "key.json"].map((name) =>
        join(folder, name)
      ) as [string, string, string];
      const pair = await generateKeyPair("ES256", { extractable: true });
      const publicJwk = await exportJWK(pair.publicKey);
      await Deno.writeTextFile(keyPath, JSON.stringify(publicJwk));
      const signed = await createHeadSigner(await exportJWK(pair.privateKey))(head);
      await Deno.writeTextFile(headPath, signed);
      const { kid } = JSON.parse(atob(JSON.parse(signed).protected));
      assertEquals(kid, await calculateJwkThumbprint(publicJwk));

      const from = Math.max(1, seal_id - 3);
      const exported = await run("run", "-A", "tools/audit_export.ts", `--from-seal=${from}`);
      assertEquals(exported.code, 0, exported.text);
      await Deno.writeTextFile(log, exported.out);
      // Without the project's settings, and with no right but to read.
      const verify = (...args: string[]) =>
        run(
          "run",
          "--no-config",
          "--no-lock",
          "--allow-read",
          "tools/verify_audit.ts",
          log,
          ...args,
        );

      const bySeal = await verify(`--seal=${hash}`);
      assertEquals(bySeal.code, 0, bySeal.text);
      assertStringIncludes(bySeal.out, "are what was sealed");
      const byHead = await verify(`--head=${headPath}`, `--key=${keyPath}`);
      assertEquals(byHead.code, 0, byHead.text);

      const stranger = await generateKeyPair("ES256", { extractable: true });
      await Deno.writeTextFile(keyPath, JSON.stringify(await exportJWK(stranger.publicKey)));
      const byStranger = await verify(`--head=${headPath}`, `--key=${keyPath}`);
      assertEquals([byStranger.code, byStranger.text], [2, "The head is not signed by this key\n"]);

      const lines = exported.out.trimEnd().split("\n");
      const at = lines.findLastIndex((line) => line.includes(patient.id));
      const forged = present(lines[at]).replace(patient.id, crypto.randomUUID());
      await Deno.writeTextFile(log, lines.with(at, forged).join("\n"));
      const found = await verify(`--seal=${hash}`);
      assertEquals(found.code, 1);
      assertEquals(
        found.text,
        `Not what was sealed: line ${at + 1}: the event has changed since it was sealed\n`,
      );
      assertEquals((await verify()).code, 2);
    });
  },
);
