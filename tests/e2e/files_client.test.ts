// clients/records.ts against the stack: files go up and come down encrypted, whatever lies in Storage
// instead is refused, and an erased file is gone for good.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  downloadRecordFile,
  encryptStream,
  eraseRecordFile,
  FormatError,
  importKey,
  RecordFileError,
  uploadRecordFile,
} from "../../clients/records.ts";
import { sampleFile, SAMPLES, sha256 } from "../fixtures/files.ts";
import type { Person } from "../support/auth.ts";
import { newClient, testEnv } from "../support/env.ts";
import {
  databaseTest,
  must,
  newCaregiver,
  newDoctor,
  newPatient,
  openChart,
  startCare,
  withDatabase,
} from "../support/people.ts";
import { BUCKET, mustPost, newRecord, postRecords, share } from "../support/records.ts";
import { refusalOf, send } from "../support/requests.ts";
import { asUpload, seal } from "../support/sealed.ts";
import { tokenOf } from "../support/auth.ts";

/** A file of `size` bytes of text. */
function textFile(size: number, letter = "a"): File {
  return new File([letter.repeat(size)], "note.txt", { type: "text/plain" });
}

/** A patient's record with a file. */
async function newFile(file = textFile(100)): Promise<{ patient: Person; record: string }> {
  const patient = await newPatient();
  const record = await newRecord(patient, patient.id);
  await uploadRecordFile(patient.client, record, file);
  return { patient, record };
}

async function read({ client }: Person, record: string): Promise<Uint8Array<ArrayBuffer>> {
  return await new Response((await downloadRecordFile(client, record)).stream).bytes();
}

/** Where a record's file lies, and its bytes there, as whoever runs Storage sees them. */
async function stored(record: string) {
  const path: string = await withDatabase(async (sql) => {
    const [row] = await sql`
      select storage_path from public.medical_record_contents where record_id = ${record}`;
    return row?.storage_path;
  });
  const storage = newClient(testEnv().secretKey).storage.from(BUCKET);
  const bytes = async () => await (await must(storage.download(path))).bytes();
  const replace = async (other: Uint8Array<ArrayBuffer>) => {
    const body = asUpload({ bytes: other, done: { ciphertext_sha256: "" } });
    await must(storage.upload(path, body, { upsert: true }));
    // Whoever runs Storage can also leave the version as it was; else the product refuses at once.
    await withDatabase((sql) =>
      sql`
        update private.record_uploads as u set object_version = o.version
        from storage.objects as o where o.name = u.storage_path and o.name = ${path}`
    );
  };
  return { path, bytes, replace };
}

/** The key of a record's file, as the API hands it out. */
async function keyOf({ client }: Person, record: string): Promise<string> {
  return (await mustPost(client, `${record}/download-url`)).encryption.key;
}

async function erase({ client }: Person, record: string) {
  const token = await tokenOf(client);
  return await send(`/functions/v1/records/${record}/file`, { method: "DELETE", token });
}

Deno.test("a file of each type goes up and comes down, and Storage has none of it in the clear", async () => {
  const patient = await newPatient();
  for (const type of Object.keys(SAMPLES)) {
    const { bytes, announced } = await sampleFile(type);
    const record = await newRecord(patient, patient.id);
    const file = new File([bytes], announced.file_name, { type });
    assertEquals(await uploadRecordFile(patient.client, record, file), {
      record_id: record,
      ...announced,
    });
    const { stream, ...described } = await downloadRecordFile(patient.client, record);
    assertEquals(described, announced);
    assertEquals(await new Response(stream).bytes(), bytes);
  }
});

databaseTest(
  "files of one frame, of whole frames and of many come down as they went up",
  async () => {
    const patient = await newPatient();
    for (const size of [1, 65_536, 131_072, 131_073, 5_000_000]) {
      const record = await newRecord(patient, patient.id);
      await uploadRecordFile(patient.client, record, textFile(size));
      const bytes = await read(patient, record);
      assert(bytes.length === size && bytes.every((byte) => byte === 0x61), `${size}`);
      const sealed = await (await stored(record)).bytes();
      assertEquals(new TextDecoder().decode(sealed.subarray(0, 4)), "BLF1");
      assert(!new TextDecoder("latin1").decode(sealed).includes("aaaaaaaa"));
    }
  },
);

databaseTest(
  "what lies in Storage instead of the file is refused by whoever downloads it",
  async () => {
    const file = textFile(3 * 65_536);
    const { patient, record } = await newFile(file);
    const other = await newFile(textFile(3 * 65_536, "b"));
    const key = await importKey(Uint8Array.fromBase64(await keyOf(patient, record)));
    const { bytes, replace } = await stored(record);
    const sealed = await bytes();
    const sealedFrame = 65_552;
    const [from, to] = [11 + sealedFrame, 11 + 2 * sealedFrame];
    const swapped = sealed.slice();
    swapped.set(sealed.subarray(11, from), from);
    const instead: Record<string, Uint8Array<ArrayBuffer>> = {
      "nothing": new Uint8Array(1),
      "the plaintext": await file.bytes(),
      "less": sealed.slice(0, to),
      "more": Uint8Array.from([...sealed, ...sealed.subarray(from)]),
      "a frame twice": swapped,
      "a changed byte": sealed.with(70_000, sealed[70_000]! ^ 1),
      "a changed header": sealed.with(5, sealed[5]! ^ 1),
      "another record's file": await (await stored(other.record)).bytes(),
    };
    for (const [what, bytes] of Object.entries(instead)) {
      await replace(bytes);
      await assertRejects(() => read(patient, record), FormatError, undefined, what);
    }

    // Even somebody who has the key cannot put another file there: the record knows its digest.
    const stream = textFile(3 * 65_536, "c").stream().pipeThrough(encryptStream(key, record));
    await replace(await new Response(stream).bytes());
    const error = await assertRejects(() => read(patient, record), RecordFileError);
    assertEquals(error.code, "file_mismatch");

    await replace(sealed);
    assertEquals((await read(patient, record)).length, file.size);
  },
);

databaseTest("a wrapped key that was put in another's place opens nothing", async () => {
  const [mine, other] = [await newFile(), await newFile(textFile(100, "b"))];
  const keyRow = (record: string) =>
    withDatabase(async (sql) => {
      const [row] = await sql`
        select k.id, k.wrapped_key from private.data_keys as k where k.subject_id = ${record}`;
      return row!;
    });
  const [key, foreign] = [await keyRow(mine.record), await keyRow(other.record)];
  const put = (wrapped: Uint8Array) =>
    withDatabase((sql) =>
      sql`update private.data_keys set wrapped_key = ${wrapped} where id = ${key.id}`
    );
  await put(foreign.wrapped_key);
  const refused = await postRecords(mine.patient.client, `${mine.record}/download-url`);
  assertEquals(refusalOf(refused), [500, "internal"]);
  assertEquals(JSON.stringify(refused.body).includes("key"), false);
  await put(key.wrapped_key);
  assertEquals((await read(mine.patient, mine.record)).length, 100);
});

databaseTest("an upload address that is still good changes nothing any more", async () => {
  const patient = await newPatient();
  const record = await newRecord(patient, patient.id);
  const { announced, bytes } = await sampleFile("image/png");
  const address = await mustPost(patient.client, `${record}/upload-url`, announced);
  const files = newClient().storage.from(BUCKET);
  const put = async (bytes: Uint8Array<ArrayBuffer>) => {
    const body = asUpload({ bytes, done: { ciphertext_sha256: "" } });
    return (await files.uploadToSignedUrl(address.path, address.token, body, { upsert: true }))
      .error;
  };
  const sealed = await seal(bytes, address.encryption, record);
  assertEquals(await put(sealed.bytes), null);
  assertEquals((await postRecords(patient.client, `${record}/complete`, sealed.done)).status, 200);

  // Completed: the object is there, so the address takes nothing.
  const evil = await seal(SAMPLES["text/plain"], address.encryption, record);
  assert(await put(evil.bytes));
  assertEquals(await read(patient, record), bytes);

  // Erased: it takes bytes, but nobody has their key, nor a way to them.
  assertEquals((await erase(patient, record)).status, 200);
  assertEquals(await put(sealed.bytes), null);
  const gone = await assertRejects(() => read(patient, record), RecordFileError);
  assertEquals(gone.code, "not_found");
  const again = await postRecords(patient.client, `${record}/complete`, {
    ...sealed.done,
    upload_id: address.upload_id,
  });
  assertEquals(refusalOf(again), [409, "upload_missing"]);
  // Erasing once more removes them.
  assertEquals((await erase(patient, record)).status, 200);
  assertEquals(await put(sealed.bytes), null, "the place was empty again");
});

databaseTest("a place whose file was refused is never used again", async () => {
  const patient = await newPatient();
  const record = await newRecord(patient, patient.id);
  const { announced, bytes } = await sampleFile("image/png");
  const first = await mustPost(patient.client, `${record}/upload-url`, announced);
  const files = newClient().storage.from(BUCKET);
  const wrong = await seal(SAMPLES["text/plain"], first.encryption, record);
  await must(files.uploadToSignedUrl(first.path, first.token, asUpload(wrong)));
  const refused = await postRecords(patient.client, `${record}/complete`, wrong.done);
  assertEquals(refusalOf(refused), [422, "file_mismatch"]);

  const right = await seal(bytes, first.encryption, record);
  assertEquals(
    (await files.uploadToSignedUrl(first.path, first.token, asUpload(right))).error,
    null,
  );
  const late = await postRecords(patient.client, `${record}/complete`, {
    ...right.done,
    upload_id: first.upload_id,
  });
  assertEquals(refusalOf(late), [409, "upload_missing"]);
  const second = await mustPost(patient.client, `${record}/upload-url`, announced);
  assert(second.path !== first.path && second.encryption.key !== first.encryption.key);
  const [key] = await withDatabase((sql) =>
    sql`select wrapped_key from private.data_keys where id = ${first.encryption.key_id}`
  );
  assertEquals(key?.wrapped_key, null);
});

databaseTest("a patient erases a file for everybody, at once and for ever", async () => {
  const { patient, record } = await newFile();
  const [doctor, relative] = [await newDoctor(), await newCaregiver()];
  await startCare(doctor, patient);
  await openChart(doctor, patient);
  await share(patient, record, relative, { level: "download" });
  const key = await keyOf(patient, record);
  const { path, bytes } = await stored(record);
  const sealed = await bytes();
  for (const person of [patient, doctor, relative]) {
    assertEquals((await read(person, record)).length, 100);
  }
  for (const person of [doctor, relative, await newPatient()]) {
    assertEquals(refusalOf(await erase(person, record)), [404, "not_found"]);
  }
  assertEquals((await read(relative, record)).length, 100);

  await eraseRecordFile(patient.client, record);
  for (const person of [patient, doctor, relative]) {
    const error = await assertRejects(() => read(person, record), RecordFileError);
    assertEquals(error.code, "not_found");
  }
  const storage = newClient(testEnv().secretKey).storage.from(BUCKET);
  assertEquals((await storage.exists(path)).data, false);
  const left = await withDatabase((sql) =>
    sql`
      select r.file_name, c.storage_path, c.data_key_id, k.wrapped_key, k.erased_at is not null as erased
      from public.medical_records as r
      join public.medical_record_contents as c on c.record_id = r.id
      join private.data_keys as k on k.subject_id = r.id
      where r.id = ${record}`
  );
  const nothing = { file_name: null, storage_path: null, data_key_id: null, wrapped_key: null };
  assertEquals(left.map((row) => ({ ...row })), [{ ...nothing, erased: true }]);
  const trail = await withDatabase((sql) =>
    sql`
      select action, actor_id, to_jsonb(a)::text as row from public.audit_events as a
      where patient_id = ${patient.id} order by id`
  );
  assertEquals(trail.filter(({ action }) => action === "erase_file").map((row) => row.actor_id), [
    patient.id,
  ]);
  const told = trail.map(({ row }) => row).join();
  for (const form of [key, Uint8Array.fromBase64(key).toHex()]) assert(!told.includes(form));
  assert(!told.includes("wrapped"));
  assert(sealed.length > 100, "the ciphertext that somebody may have kept is all that is left");

  // Repeating it is fine, and the record may get another file.
  await eraseRecordFile(patient.client, record);
  await uploadRecordFile(patient.client, record, textFile(7, "z"));
  assertEquals(new TextDecoder().decode(await read(patient, record)), "zzzzzzz");
});

databaseTest("a file that a doctor has added is not the patient's to erase", async () => {
  const [patient, doctor] = [await newPatient(), await newDoctor()];
  await startCare(doctor, patient);
  await openChart(doctor, patient);
  const record = await newRecord(doctor, patient.id);
  await uploadRecordFile(doctor.client, record, textFile(5));
  assertEquals(refusalOf(await erase(patient, record)), [403, "forbidden"]);
  assertEquals(refusalOf(await erase(doctor, record)), [404, "not_found"]);
  assertEquals((await read(patient, record)).length, 5);
});

databaseTest(
  "erasing while a file is completed leaves a file or none, never half of one",
  async () => {
    for (let round = 0; round < 8; round++) {
      const patient = await newPatient();
      const record = await newRecord(patient, patient.id);
      const { announced, bytes } = await sampleFile("image/png");
      const first = await mustPost(patient.client, `${record}/upload-url`, announced);
      const sealed = await seal(bytes, first.encryption, record);
      const files = newClient().storage.from(BUCKET);
      await must(files.uploadToSignedUrl(first.path, first.token, asUpload(sealed)));
      const [completed] = await Promise.all([
        postRecords(patient.client, `${record}/complete`, sealed.done),
        withDatabase((sql) => sql`select private.shred_record_file(${record})`),
      ]);
      assert([200, 409].includes(completed.status), `complete answered ${completed.status}`);
      const [row] = await withDatabase((sql) =>
        sql`
        select r.file_name, c.data_key_id, k.erased_at
        from public.medical_records as r
        left join public.medical_record_contents as c on c.record_id = r.id
        left join private.data_keys as k on k.subject_id = r.id
        where r.id = ${record}`
      );
      assertEquals(row?.file_name === null, row?.data_key_id === null);
      assert(row?.erased_at !== null || row?.file_name !== null);
      if (row?.erased_at !== null) assertEquals(row?.file_name, null);
    }
  },
);

Deno.test("the client says why it was refused", async () => {
  const { patient, record } = await newFile();
  const stranger = await newPatient();
  const refusals: [() => Promise<unknown>, string][] = [
    [() => uploadRecordFile(patient.client, record, textFile(1)), "already_uploaded"],
    [() => downloadRecordFile(stranger.client, record), "not_found"],
    [() => downloadRecordFile(newClient(), record), "unauthenticated"],
    [() => eraseRecordFile(stranger.client, record), "not_found"],
  ];
  for (const [act, code] of refusals) {
    const error = await assertRejects(act, RecordFileError);
    assertEquals(error.code, code);
  }
  const empty = await newRecord(patient, patient.id);
  const disguised = new File([SAMPLES["image/png"]], "scan.pdf", { type: "application/pdf" });
  const error = await assertRejects(
    () => uploadRecordFile(patient.client, empty, disguised),
    RecordFileError,
  );
  assertEquals(error.code, "file_mismatch");
  const plain = new File([SAMPLES["image/png"]], "scan.png", { type: "image/png" });
  const taken = await uploadRecordFile(patient.client, empty, plain);
  assertEquals(taken.file_sha256, await sha256(SAMPLES["image/png"]));
});
