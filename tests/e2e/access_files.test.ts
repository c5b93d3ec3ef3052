// The file of a record: who may give it, who may fetch it, and that nobody gets at it in Storage
// past the function that decides and logs.

import { assert, assertEquals } from "@std/assert";
import { decodeJwt } from "jose";
import { sampleFile, SAMPLES } from "../fixtures/files.ts";
import { type Person, present, signInAgain } from "../support/auth.ts";
import { assertUnchanged, auditOf } from "../support/digest.ts";
import { newClient } from "../support/env.ts";
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
import { BUCKET, mustPost, newRecord, postRecords, share, upload } from "../support/records.ts";
import { refusalOf } from "../support/requests.ts";
import { asUpload, seal, unseal } from "../support/sealed.ts";

/** Where the file of a record lies; no client is told. */
async function storagePathOf(record: string): Promise<string> {
  return await withDatabase(async (sql) => {
    const [row] = await sql`
      select storage_path from public.medical_record_contents where record_id = ${record}`;
    return row?.storage_path;
  });
}

/** Somebody with an open chart as a caregiver who was given these scopes. */
async function newDelegate(patient: Person, p_scopes: string[]): Promise<Person> {
  const caregiver = await newCaregiver();
  await must(patient.client.rpc("request_care", {
    ...{ p_member_or_patient_id: caregiver.id, p_kind: "caregiver", p_scopes },
  }));
  const p_purpose = "delegated";
  await must(caregiver.client.rpc("open_chart", { p_patient_id: patient.id, p_purpose }));
  return caregiver;
}

databaseTest(
  "a file is fetched by those who may, refused to the rest, and each fetch is logged",
  async () => {
    const patient = await newPatient();
    const record = await newRecord(patient, patient.id);
    const sample = await sampleFile("image/png");
    assertEquals((await upload(patient, record, sample)).status, 200);
    const [doctor, early, downloader, viewer, formerly, stranger] = await Promise.all([
      newDoctor("Dr Open"),
      newDoctor("Dr Before The Chart"),
      newCaregiver("Shared for download"),
      newCaregiver("Shared for viewing"),
      newCaregiver("Shared once"),
      newPatient("Stranger"),
    ]);
    await startCare(doctor, patient);
    await openChart(doctor, patient);
    await startCare(early, patient);
    await share(patient, record, downloader, { level: "download" });
    await share(patient, record, viewer, { level: "view" });
    const p_id = await share(patient, record, formerly, { level: "download" });
    await must(patient.client.rpc("revoke_record_share", { p_id }));
    const delegate = await newDelegate(patient, ["records"]);
    const other = await newDelegate(patient, ["appointments"]);
    const singleFactor = { ...doctor, client: await signInAgain(doctor) };

    const may = { patient, doctor, downloader, delegate };
    for (const [who, { client }] of Object.entries(may)) {
      const { url, expires_at, encryption, ...announced } = await mustPost(
        client,
        `${record}/download-url`,
      );
      assertEquals(announced, sample.announced, who);
      const seconds = (Date.parse(expires_at) - Date.now()) / 1000;
      assert(seconds > 50 && seconds <= 61, `${who}: good for ${seconds} s`);
      const { exp = 0, iat = 0 } = decodeJwt(present(new URL(url).searchParams.get("token")));
      assertEquals(exp - iat, 60, who);
      const file = await fetch(url);
      assertEquals(await unseal(await file.bytes(), encryption, record), sample.bytes, who);
    }
    const downloads = (await auditOf(patient.id)).filter(({ action }) =>
      action === "download_file"
    );
    assertEquals(downloads.map(({ actor_id, purpose }) => [actor_id, purpose]), [
      [patient.id, null],
      [doctor.id, "treatment"],
      [downloader.id, "share"],
      [delegate.id, "delegated"],
    ]);

    const absent = [404, "not_found"];
    await assertUnchanged([patient.id], async () => {
      const mayNot = { early, formerly, stranger, other, singleFactor };
      for (const [who, { client }] of Object.entries(mayNot)) {
        assertEquals(refusalOf(await postRecords(client, `${record}/download-url`)), absent, who);
      }
      const viewed = await postRecords(viewer.client, `${record}/download-url`);
      assertEquals(refusalOf(viewed), [403, "forbidden"]);
    });
  },
);

databaseTest(
  "a file is given by the patient or the doctor who added the record, and nobody else",
  async () => {
    const patient = await newPatient();
    const [doctor, reader] = await Promise.all([newDoctor(), newCaregiver()]);
    await startCare(doctor, patient);
    await openChart(doctor, patient);
    const own = await newRecord(patient, patient.id);
    const added = await newRecord(doctor, patient.id);
    await share(patient, own, reader, { level: "download" });
    const { announced } = await sampleFile("text/plain");
    const announce = async ({ client }: Person, record: string) =>
      refusalOf(await postRecords(client, `${record}/upload-url`, announced));

    await assertUnchanged([patient.id], async () => {
      for (const person of [doctor, reader, await newPatient()]) {
        assertEquals(await announce(person, own), [404, "not_found"]);
        const complete = await postRecords(person.client, `${own}/complete`, {
          ciphertext_sha256: announced.file_sha256,
        });
        assertEquals(refusalOf(complete), [404, "not_found"]);
      }
    });
    assertEquals((await upload(doctor, added, await sampleFile("text/plain"))).status, 200);
    assertEquals((await upload(patient, own, await sampleFile("text/plain"))).status, 200);
  },
);

databaseTest(
  "a file of every type is taken over, and one that is not as announced is removed",
  async () => {
    const patient = await newPatient();
    const objects = () =>
      withDatabase(async (sql) => {
        const [row] = await sql<{ count: number }[]>`
        select count(*)::int from storage.objects
        where bucket_id = ${BUCKET} and name like ${`${patient.id}/%`}`;
        return row?.count;
      });
    const types = Object.keys(SAMPLES);
    assertEquals(types.length, 6);
    for (const [index, type] of types.entries()) {
      const sample = await sampleFile(type);
      const record = await newRecord(patient, patient.id);
      const { bytes } = sample;
      const longer = { ...sample, bytes: Uint8Array.of(...bytes, 0x20) };
      const changed = { ...sample, bytes: bytes.with(bytes.length - 1, 0x23) };
      const foreign = await sampleFile(type === "image/png" ? "application/pdf" : "image/png");
      const disguised = { ...foreign, announced: { ...foreign.announced, file_type: type } };
      for (const [path, bad] of Object.entries({ longer, changed, disguised })) {
        const { status, body } = await upload(patient, record, bad);
        assertEquals([status, body.error?.code], [422, "file_mismatch"], `${type} ${path}`);
        assertEquals(await objects(), index, `${type} ${path}`);
      }
      assertEquals((await upload(patient, record, sample)).status, 200, type);
      assertEquals(await objects(), index + 1);
    }
  },
);

databaseTest(
  "Storage itself gives, takes, lists and signs nothing of the bucket, whoever asks",
  async () => {
    const patient = await newPatient();
    const record = await newRecord(patient, patient.id);
    await upload(patient, record, await sampleFile("text/plain"));
    const doctor = await newDoctor();
    await startCare(doctor, patient);
    await openChart(doctor, patient);
    const path = await storagePathOf(record);
    const folder = path.slice(0, path.lastIndexOf("/"));

    await assertUnchanged([patient.id], async () => {
      const clients = [patient.client, doctor.client, (await newPatient()).client, newClient()];
      for (const client of clients) {
        const files = client.storage.from(BUCKET);
        const text = new Blob(["x"], { type: "application/octet-stream" });
        const refused = await Promise.all([
          files.download(path),
          files.info(path),
          files.createSignedUrl(path, 60),
          files.createSignedUploadUrl(`${folder}/new`),
          files.upload(`${folder}/new`, text),
          files.upload(path, text, { upsert: true }),
          files.update(path, text),
          files.move(path, `${folder}/new`),
          files.copy(path, `${folder}/new`),
        ]);
        assertEquals(refused.filter(({ error }) => !error), []);
        // These two answer with what one may see or remove: nothing.
        const [list, removed] = [await files.list(folder), await files.remove([path])];
        assertEquals([list.data ?? [], removed.data ?? []], [[], []]);
        const address = files.getPublicUrl(path).data.publicUrl;
        const direct = await fetch(address);
        await direct.body?.cancel();
        assert(direct.status >= 400, `the public address answers ${direct.status}`);
      }
    });
  },
);

databaseTest(
  "a signed address is good for its own object, one way, and an upload once",
  async () => {
    const patient = await newPatient();
    const [first, second] = [
      await newRecord(patient, patient.id),
      await newRecord(patient, patient.id),
    ];
    const { announced, bytes } = await sampleFile("text/plain");
    const mine = await mustPost(patient.client, `${first}/upload-url`, announced);
    const other = await mustPost(patient.client, `${second}/upload-url`, announced);
    const files = newClient().storage.from(BUCKET);
    const sealed = await seal(bytes, mine.encryption, first);
    const put = (path: string, token: string) =>
      files.uploadToSignedUrl(path, token, asUpload(sealed));

    const crossed = await put(other.path, mine.token);
    assert(crossed.error, "a token takes no file to another path");
    const fetched = await fetch(mine.url);
    await fetched.body?.cancel();
    assert(fetched.status >= 400, "an address for uploading gives nothing");
    assertEquals((await put(mine.path, mine.token)).error, null);
    const twice = await put(mine.path, mine.token);
    assert(twice.error, "a token takes no second file");
    const completed = await postRecords(patient.client, `${first}/complete`, sealed.done);
    assertEquals(completed.status, 200);
    const thrice = await put(mine.path, mine.token);
    assert(thrice.error, "nor when the file was taken over");

    const { url } = await mustPost(patient.client, `${first}/download-url`);
    const forOther = await fetch(url.replace(mine.path, other.path));
    await forOther.body?.cancel();
    assert(forOther.status >= 400, "an address gives no other file");
  },
);
