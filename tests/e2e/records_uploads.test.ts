// What may go wrong between announcing a file and handing it out: two requests at once, rights that
// end meanwhile, uploads that come late, twice or otherwise than announced, and what is left of them.

import { assert, assertEquals } from "@std/assert";
import { decodeJwt } from "jose";
import { type Deps, productionDeps } from "../../functions/_shared/deps.ts";
import { AppError } from "../../functions/_shared/errors.ts";
import { finishUpload } from "../../functions/records/uploads.ts";
import { sampleFile } from "../fixtures/files.ts";
import { type Person, present } from "../support/auth.ts";
import { newClient, testEnv } from "../support/env.ts";
import {
  databaseTest,
  must,
  newDoctor,
  newPatient,
  openChart,
  startCare,
  theAdmin,
  withDatabase,
} from "../support/people.ts";
import {
  call,
  newFile,
  newRecord,
  objectExists,
  recordsOf,
  sweepFiles,
} from "../support/records_calls.ts";
import { type Encryption, seal, type Sealed, unseal } from "../support/sealed.ts";

const TYPE = "application/pdf";
const SEALED_TYPE = "application/octet-stream";
const { bytes, announced } = await sampleFile(TYPE);
/** As long as the right file, and not it. */
const otherBytes = bytes.map((byte, index) => index === bytes.length - 1 ? byte ^ 1 : byte);

interface Address {
  upload_id: string;
  url: string;
  path: string;
  encryption: Encryption;
}

/** What was put last for a record: its digest completes the upload. */
const lastPut = new Map<string, Sealed["done"]>();

function doneOf(recordId: string): Sealed["done"] {
  return lastPut.get(recordId) ?? { ciphertext_sha256: announced.file_sha256 };
}

async function announce(person: Person, recordId: string, file = announced): Promise<Address> {
  const { status, data } = await call(person, `${recordId}/upload-url`, file);
  assertEquals(status, 200);
  return data;
}

/** Seals a file and uploads it to a signed address; answers the status. */
async function put(
  { url, path, encryption }: Address,
  file = bytes,
  headers: Record<string, string> = { "content-type": SEALED_TYPE },
  wrap: (sealed: Uint8Array<ArrayBuffer>) => BodyInit = (sealed) => sealed,
): Promise<number> {
  const recordId = present(path.split("/")[1]);
  const sealed = await seal(file, encryption, recordId);
  lastPut.set(recordId, sealed.done);
  const response = await fetch(url, { method: "PUT", headers, body: wrap(sealed.bytes) });
  await response.body?.cancel();
  return response.status;
}

/** The file that a record hands out, opened. */
async function download(person: Person, recordId: string): Promise<Uint8Array> {
  const { data } = await call(person, `${recordId}/download-url`);
  return await unseal(await (await fetch(data.url)).bytes(), data.encryption, recordId);
}

async function complete(person: Person, recordId: string) {
  const { status, code, error } = await call(person, `${recordId}/complete`, doneOf(recordId));
  const paths = error?.details?.map((detail: { path: string }) => detail.path);
  return [status, code, paths].filter((part) => part !== undefined);
}

/** An instance of the function in this process, so that a test can hold it up at Storage. */
function newInstance(): Deps {
  const { url, publishableKey, secretKey, dbUrl, encryptionKeys } = testEnv();
  return productionDeps({
    SUPABASE_URL: url,
    SUPABASE_DB_URL: present(dbUrl),
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: publishableKey }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: secretKey }),
    KEY_ENCRYPTION_KEYS: present(encryptionKeys),
    BLIND_INDEX_KEY: new Uint8Array(32).toBase64(),
  });
}

/** As {@link complete}, by an instance of this process; answers `ok` or the code. */
async function completeBy(deps: Deps, person: Person, recordId: string): Promise<string> {
  const caller = {
    id: person.id,
    claims: decodeJwt(person.session.access_token),
    request_id: "req-1",
    ip: null,
    user_agent: null,
  };
  try {
    await finishUpload(deps, caller, recordId, doneOf(recordId));
    return "ok";
  } catch (error) {
    if (error instanceof AppError) return error.code;
    throw error;
  }
}

/** A test with an instance of its own, whose pool lets go of its connections when they are idle. */
function instanceTest(name: string, fn: () => Promise<void>): void {
  const ignore = !testEnv().dbUrl || !testEnv().encryptionKeys;
  Deno.test({ name, ignore, sanitizeOps: false, sanitizeResources: false, fn });
}

instanceTest("of two requests that reject a file neither removes what is completed", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const address = await announce(person, recordId);
  assertEquals(await put(address, otherBytes), 200);

  // Both read it before either rejects it; one removes at once, and the other when all is over.
  const [early, late] = [newInstance(), newInstance()];
  const haveOpened = [early, late].map((deps) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const open = deps.recordFiles.open;
    deps.recordFiles.open = async (path) => {
      const stream = await open(path);
      resolve();
      await Promise.all(haveOpened);
      return stream;
    };
    return promise;
  });
  const isRemoved = Promise.withResolvers<void>();
  const lateMayRemove = Promise.withResolvers<void>();
  const [removeEarly, removeLate] = [early, late].map(({ recordFiles }) => recordFiles.remove);
  early.recordFiles.remove = async (paths) => {
    await removeEarly!(paths);
    isRemoved.resolve();
  };
  late.recordFiles.remove = async (paths) => {
    await lateMayRemove.promise;
    await removeLate!(paths);
  };
  const rejections = [early, late].map((deps) => completeBy(deps, person, recordId));
  await isRemoved.promise;

  // The address still takes a file; it is nobody's.
  assertEquals(await put(address), 200);
  assertEquals(await complete(person, recordId), [409, "upload_missing"]);
  const second = await announce(person, recordId);
  assertEquals(await put(second), 200);
  assertEquals(await complete(person, recordId), [200]);
  lateMayRemove.resolve();

  assertEquals(await Promise.all(rejections), ["file_mismatch", "file_mismatch"]);
  assertEquals(await objectExists(second.path), true);
  assertEquals(await download(person, recordId), bytes);
});

instanceTest("a file that is replaced while it is read is not taken over", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const address = await announce(person, recordId);
  await put(address);
  const deps = newInstance();
  const open = deps.recordFiles.open;
  deps.recordFiles.open = async (path) => {
    const stream = await open(path);
    await deps.recordFiles.remove([path]);
    assertEquals(await put(address, otherBytes), 200);
    return stream;
  };

  assertEquals(await completeBy(deps, person, recordId), "upload_missing");
  assertEquals((await recordsOf(person))[0]?.file_name, null);
  assertEquals(await complete(person, recordId), [422, "file_mismatch", ["file_sha256"]]);
});

const ENDS: Record<string, [(ends: Ends) => PromiseLike<unknown>, string]> = {
  "care ends": [
    ({ patient, careId }) => must(patient.client.rpc("end_care", { p_id: careId })),
    "not_found",
  ],
  "the chart is closed": [
    ({ doctor, chartId }) => must(doctor.client.rpc("close_chart", { p_id: chartId })),
    "not_found",
  ],
  "the record is deleted": [
    ({ patient, recordId }) => patient.client.rpc("delete_medical_record", { p_id: recordId }),
    "not_found",
  ],
  "the doctor's verification is withdrawn": [
    async ({ doctor }) =>
      await must(
        (await theAdmin()).client.rpc("verify_doctor", {
          p_user_id: doctor.id,
          p_approve: false,
          p_reason: "Licence expired",
        }),
      ),
    "not_found",
  ],
  "the doctor signs out": [({ doctor }) => doctor.client.auth.signOut(), "unauthenticated"],
};

interface Ends {
  patient: Person;
  doctor: Person;
  careId: string;
  chartId: string;
  recordId: string;
}

for (const [what, [end, code]] of Object.entries(ENDS)) {
  instanceTest(`a file is not taken over when ${what} while it is read`, async () => {
    const [patient, anyDoctor] = [await newPatient(), await newDoctor()];
    const { data } = await anyDoctor.client.auth.getSession();
    const doctor = { ...anyDoctor, session: present(data.session) }; // at aal2 by now
    const careId = await startCare(doctor, patient);
    const chartId = await openChart(doctor, patient);
    const recordId = await newRecord(doctor, patient.id);
    await put(await announce(doctor, recordId));
    const deps = newInstance();
    const open = deps.recordFiles.open;
    deps.recordFiles.open = async (path) => {
      await end({ patient, doctor, careId, chartId, recordId });
      return await open(path);
    };

    assertEquals(await completeBy(deps, doctor, recordId), code);
    const [record] = await withDatabase((sql) =>
      sql`select r.file_name, count(a.id)::int as uploads from public.medical_records as r
          left join public.audit_events as a on a.resource_id = r.id and a.action = 'upload_file'
          where r.id = ${recordId} group by r.id`
    );
    assertEquals({ ...record }, { file_name: null, uploads: 0 });
  });
}

Deno.test("an announcement that is made several times takes the file at any of the answers", async () => {
  const person = await newPatient();
  for (const used of [0, 1, 2]) {
    const recordId = await newRecord(person);
    const addresses = await Promise.all([1, 2, 3].map(() => announce(person, recordId)));
    assertEquals(await put(addresses[used]!), 200);
    assertEquals(await complete(person, recordId), [200]);
    assertEquals((await call(person, `${recordId}/download-url`)).status, 200);
  }
});

Deno.test("a newer announcement of another file replaces the older one", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  await put(await announce(person, recordId));
  const other = await announce(person, recordId, { ...announced, file_name: "other.pdf" });
  assertEquals(await complete(person, recordId), [409, "upload_missing"]);
  await put(other);
  assertEquals(await complete(person, recordId), [200]);
  assertEquals((await recordsOf(person))[0]?.file_name, "other.pdf");
});

databaseTest(
  "a file that comes after expires_at is not taken, though its address takes it",
  async () => {
    const person = await newPatient();
    const recordId = await newRecord(person);
    const address = await announce(person, recordId);
    await withDatabase((sql) =>
      sql`update private.record_uploads set expires_at = now() where id = ${address.upload_id}`
    );
    assertEquals(await put(address), 200);
    assertEquals(await complete(person, recordId), [409, "upload_missing"]);
    assertEquals((await recordsOf(person))[0]?.file_name, null);
  },
);

Deno.test("a Content-Encoding of the upload changes nothing of the bytes, or refuses them", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const headers = { "content-type": SEALED_TYPE, "content-encoding": "gzip" };
  assertEquals(await put(await announce(person, recordId), bytes, headers), 200);
  assertEquals(await complete(person, recordId), [200]);
  assertEquals(await download(person, recordId), bytes);

  const otherId = await newRecord(person);
  const asForm = (sealed: Uint8Array<ArrayBuffer>) => {
    const form = new FormData();
    form.append("contentEncoding", "gzip");
    form.append("", new Blob([sealed], { type: SEALED_TYPE }));
    return form;
  };
  const address = await announce(person, otherId);
  assertEquals(await put(address, bytes, {}, asForm), 200);
  assertEquals(await complete(person, otherId), [422, "file_mismatch", ["content_encoding"]]);
  assertEquals(await objectExists(address.path), false);
});

databaseTest(
  "a file that tells its type to Storage is refused, there and by the product",
  async () => {
    const person = await newPatient();
    const recordId = await newRecord(person);
    const address = await announce(person, recordId);
    assertEquals(await put(address, bytes, { "content-type": TYPE }), 400);
    assertEquals(await complete(person, recordId), [409, "upload_missing"]);
    assertEquals(await put(address), 200);
    // As if the bucket had been set to take it.
    await withDatabase((sql) =>
      sql`update storage.objects set metadata = metadata || '{"mimetype": "application/pdf"}'
        where name = ${address.path}`
    );
    assertEquals(await complete(person, recordId), [422, "file_mismatch", ["content_type"]]);
    assertEquals(await objectExists(address.path), false);
  },
);

databaseTest("bytes that take the place of a checked file are not handed out", async () => {
  const person = await newPatient();
  const recordId = await newFile(person);
  assertEquals((await call(person, `${recordId}/download-url`)).status, 200);
  const [contents] = await withDatabase((sql) =>
    sql`select storage_path from public.medical_record_contents where record_id = ${recordId}`
  );
  const files = newClient(testEnv().secretKey).storage.from("medical-records");
  const path = present(contents).storage_path;
  await must(files.upload(path, otherBytes, { upsert: true, contentType: SEALED_TYPE }));
  const { status, code } = await call(person, `${recordId}/download-url`);
  assertEquals([status, code], [404, "not_found"]);
});

databaseTest(
  "what was uploaded and never taken over is swept three hours after its end",
  async () => {
    const person = await newPatient();
    const kept = await newFile(person);
    const recordId = await newRecord(person);
    const rejected = await announce(person, recordId);
    await put(rejected, otherBytes);
    assertEquals(await complete(person, recordId), [422, "file_mismatch", ["file_sha256"]]);
    assertEquals(await put(rejected), 200);
    const overtaken = await announce(person, recordId);
    await put(overtaken);
    const taken = await announce(person, recordId, { ...announced, file_name: "last.pdf" });
    await put(taken);
    assertEquals(await complete(person, recordId), [200]);
    const forgotten = await announce(person, await newRecord(person));
    await must(person.client.rpc("close_account").then(({ error }) => ({ data: true, error })));
    assertEquals(await put(forgotten), 200);

    const paths = [rejected, overtaken, taken, forgotten].map(({ path }) => path);
    const left = async () => await Promise.all(paths.map(objectExists));
    await sweepFiles();
    assertEquals(await left(), [true, true, true, true]);
    await withDatabase((sql) =>
      sql`update private.record_uploads set expires_at = now() - interval '3 hours 1 second'
        where patient_id = ${person.id}`
    );
    assert(await sweepFiles() >= 3);
    assertEquals(await left(), [false, false, true, false]);
    const rows = await withDatabase((sql) =>
      sql`select swept_at is not null as is_swept, count(*)::int as uploads
        from private.record_uploads where patient_id = ${person.id} group by 1 order by 1`
    );
    assertEquals(rows.map((row) => ({ ...row })), [
      { is_swept: false, uploads: 2 },
      { is_swept: true, uploads: 3 },
    ]);
    const [file] = await withDatabase((sql) =>
      sql`select count(o.id)::int as objects from public.medical_record_contents as c
        join storage.objects as o on o.name = c.storage_path where c.record_id = ${kept}`
    );
    assertEquals({ ...file }, { objects: 1 });
  },
);

Deno.test("nobody but the secret key sweeps", async () => {
  const person = await newPatient();
  const { status, code } = await call(person, "sweep");
  assertEquals([status, code], [401, "unauthenticated"]);
  assertEquals((await call(null, "sweep")).code, "unauthenticated");
});
