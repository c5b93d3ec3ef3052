// The function `records` through the gateway, as supabase-js and other HTTP clients use it: files from
// announcement to download, imports, and everybody who may not.

import { assert, assertEquals } from "@std/assert";
import type { Person } from "../support/auth.ts";
import { testEnv } from "../support/env.ts";
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
import { sampleFile, SAMPLES, sha256 } from "../fixtures/files.ts";
import {
  bundleOf,
  condition,
  type Fhir,
  observation,
  ownBundle,
  ownBundleText,
  patient,
  syntheaBundles,
} from "../functions/bundles.ts";

const ABSENT_ID = "00000000-0000-4000-8000-000000000000";
const ACTIONS = ["upload-url", "complete", "download-url"];

/** Posts to the function; answers status, headers and the envelope's data or error. */
async function call(
  person: Person | null,
  path: string,
  body?: object | string | Uint8Array<ArrayBuffer>,
) {
  const isRaw = typeof body === "string" || body instanceof Uint8Array;
  const response = await fetch(`${testEnv().url}/functions/v1/records/${path}`, {
    method: "POST",
    headers: {
      apikey: testEnv().publishableKey,
      "content-type": "application/json",
      ...person && { authorization: `Bearer ${person.session.access_token}` },
    },
    body: isRaw ? body : JSON.stringify(body ?? {}),
  });
  const { data, error } = await response.json();
  return { status: response.status, headers: response.headers, data, code: error?.code, error };
}

async function newRecord(person: Person, patient_id = person.id): Promise<string> {
  const { id } = await must(
    person.client.from("medical_records")
      .insert({ patient_id, title: "CT of the chest", record_type: "imaging" }).select("id")
      .single(),
  );
  return id;
}

/** Announces a file and uploads bytes to the signed address. */
async function upload(
  person: Person,
  recordId: string,
  announced: object,
  bytes: Uint8Array<ArrayBuffer>,
  type: string,
) {
  const { status, data } = await call(person, `${recordId}/upload-url`, announced);
  assertEquals(status, 200);
  const { error } = await person.client.storage.from("medical-records")
    .uploadToSignedUrl(data.path, data.token, new Blob([bytes], { type }));
  assertEquals(error, null);
  return data.path;
}

/** A record of a person with its file. */
async function newFile(person: Person): Promise<string> {
  const recordId = await newRecord(person);
  const { bytes, announced } = await sampleFile("application/pdf");
  await upload(person, recordId, announced, bytes, "application/pdf");
  assertEquals((await call(person, `${recordId}/complete`)).status, 200);
  return recordId;
}

/** What a patient's list holds, with contents, in an order of its own. */
async function recordsOf(person: Person): Promise<Fhir[]> {
  return await must(
    person.client.from("medical_records")
      .select(
        "id, title, record_type, record_date, source, source_id, sensitivity, file_name, updated_at, medical_record_contents(fhir)",
      )
      .eq("patient_id", person.id).order("id"),
  );
}

async function objectExists(path: string): Promise<boolean> {
  const { url, secretKey } = testEnv();
  const response = await fetch(`${url}/storage/v1/object/medical-records/${path}`, {
    headers: { apikey: secretKey, authorization: `Bearer ${secretKey}` },
  });
  await response.body?.cancel();
  return response.ok;
}

// Files --------------------------------------------------------------------------------------------

Deno.test("a file of each type goes from announcement to download, byte for byte", async () => {
  const person = await newPatient();
  for (const type of Object.keys(SAMPLES)) {
    const recordId = await newRecord(person);
    const { bytes, announced } = await sampleFile(type);
    await upload(person, recordId, announced, bytes, type);

    const completed = await call(person, `${recordId}/complete`);
    assertEquals([completed.status, completed.data], [200, { record_id: recordId, ...announced }]);
    const { data: record } = await person.client.from("medical_records")
      .select("file_name, file_type, file_size, file_sha256").eq("id", recordId).single();
    assertEquals(record, announced);

    const { status, data } = await call(person, `${recordId}/download-url`);
    assertEquals(status, 200);
    const { url, expires_at, ...file } = data;
    assertEquals(file, announced);
    assert(Date.parse(expires_at) > Date.now() && Date.parse(expires_at) <= Date.now() + 60_000);
    const response = await fetch(url);
    assertEquals(new Uint8Array(await response.arrayBuffer()), bytes);
    assertEquals(response.headers.get("content-disposition")?.startsWith("attachment"), true);
  }
});

Deno.test("the unmodified client reaches the function by invoke", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const { announced } = await sampleFile("image/png");
  const { data, error } = await person.client.functions.invoke(`records/${recordId}/upload-url`, {
    body: announced,
  });
  assertEquals(error, null);
  assertEquals(data.success, true);
  const refused = await person.client.functions.invoke(`records/${recordId}/complete`, {
    body: {},
  });
  assertEquals(refused.error.context.status, 409);
});

Deno.test("a file that is not the announced one is refused and removed; a right one follows", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const { bytes, announced } = await sampleFile("application/pdf");
  const text = SAMPLES["text/plain"];
  const wrong: [object, Uint8Array<ArrayBuffer>, string[]][] = [
    [announced, bytes.slice(0, -1), ["file_size", "file_sha256"]],
    [announced, new Uint8Array([...bytes, 10]), ["file_size"]],
    [{ ...announced, file_sha256: await sha256(text) }, bytes, ["file_sha256"]],
    [{ ...announced, file_size: text.length, file_sha256: await sha256(text) }, text, [
      "file_type",
    ]],
  ];
  for (const [declared, uploaded, differences] of wrong) {
    const path = await upload(person, recordId, declared, uploaded, "application/pdf");
    const { status, code, error } = await call(person, `${recordId}/complete`);
    assertEquals([status, code], [422, "file_mismatch"]);
    assertEquals(error.details.map((detail: { path: string }) => detail.path), differences);
    assertEquals(await objectExists(path), false);
    assertEquals((await call(person, `${recordId}/complete`)).code, "upload_missing");
    assertEquals((await recordsOf(person))[0]?.file_name, null);
  }
  await upload(person, recordId, announced, bytes, "application/pdf");
  assertEquals((await call(person, `${recordId}/complete`)).status, 200);
});

Deno.test("complete answers 409 upload_missing until the file is there", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  assertEquals((await call(person, `${recordId}/complete`)).code, "upload_missing");
  const { announced } = await sampleFile("image/jpeg");
  await call(person, `${recordId}/upload-url`, announced);
  const { status, code } = await call(person, `${recordId}/complete`);
  assertEquals([status, code], [409, "upload_missing"]);
});

databaseTest("complete refuses an announcement whose time is long over", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const { bytes, announced } = await sampleFile("image/png");
  await upload(person, recordId, announced, bytes, "image/png");
  await withDatabase((sql) =>
    sql`update private.record_uploads set expires_at = now() - interval '1 day' where record_id = ${recordId}`
  );
  assertEquals((await call(person, `${recordId}/complete`)).code, "upload_missing");
  assertEquals((await recordsOf(person))[0]?.file_name, null);
});

databaseTest("completing at once and again takes the file over once", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const { bytes, announced } = await sampleFile("image/jpeg");
  await upload(person, recordId, announced, bytes, "image/jpeg");
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => call(person, `${recordId}/complete`)),
  );
  const again = await call(person, `${recordId}/complete`);
  for (const { status, data } of [...answers, again]) {
    assertEquals([status, data], [200, { record_id: recordId, ...announced }]);
  }
  const another = await call(person, `${recordId}/upload-url`, announced);
  assertEquals([another.status, another.code], [409, "already_uploaded"]);
  const events = await withDatabase((sql) =>
    sql`select actor_id from public.audit_events
        where resource_id = ${recordId} and action = 'upload_file'`
  );
  assertEquals(events.map(({ actor_id }) => actor_id), [person.id]);
});

Deno.test("records of others and records that are not there look the same", async () => {
  const [owner, stranger] = [await newPatient(), await newPatient()];
  const recordId = await newFile(owner);
  const { announced } = await sampleFile("image/png");
  for (const action of ACTIONS) {
    const theirs = await call(
      stranger,
      `${recordId}/${action}`,
      action === "upload-url" ? announced : {},
    );
    const absent = await call(
      stranger,
      `${ABSENT_ID}/${action}`,
      action === "upload-url" ? announced : {},
    );
    assertEquals([theirs.status, theirs.code], [404, "not_found"]);
    assertEquals([absent.status, absent.code, absent.error.message], [
      404,
      "not_found",
      theirs.error.message,
    ]);
  }
  assertEquals((await call(owner, `${recordId}/download-url`)).status, 200);
});

Deno.test("a share lets its recipient download when it says so, until it is revoked", async () => {
  const [owner, relative] = [await newPatient(), await newCaregiver()];
  const recordId = await newFile(owner);
  const share = (p_access_level: string) =>
    must(owner.client.rpc("share_medical_record", {
      p_record_id: recordId,
      p_shared_with_id: relative.id,
      p_access_level,
      p_expires_at: new Date(Date.now() + 86_400_000).toISOString(),
    }));
  const viewing = await share("view");
  const refused = await call(relative, `${recordId}/download-url`);
  assertEquals([refused.status, refused.code], [403, "forbidden"]);
  await owner.client.rpc("revoke_record_share", { p_id: viewing });
  assertEquals((await call(relative, `${recordId}/download-url`)).status, 404);

  const downloading = await share("download");
  const { status, data } = await call(relative, `${recordId}/download-url`);
  assertEquals(status, 200);
  assertEquals((await (await fetch(data.url)).arrayBuffer()).byteLength, data.file_size);
  const uploaded = await call(
    relative,
    `${recordId}/upload-url`,
    (await sampleFile("image/png")).announced,
  );
  assertEquals(uploaded.status, 404);
  await owner.client.rpc("revoke_record_share", { p_id: downloading });
  assertEquals((await call(relative, `${recordId}/download-url`)).status, 404);

  const log = await must(owner.client.rpc("my_access_log", { p_limit: 100 }));
  const downloads = log.filter(({ action }: { action: string }) => action === "download_file");
  assertEquals(downloads.map(({ actor_id }: { actor_id: string }) => actor_id), [relative.id]);
});

// Imports ------------------------------------------------------------------------------------------

Deno.test("a history is imported once, and again only where it has changed", async () => {
  const person = await newPatient();
  const first = await call(person, "import", await ownBundleText());
  assertEquals(first.status, 200);
  assertEquals(first.data.imported, 24);
  assertEquals([first.data.error_count, first.data.patient], [0, "filled"]);
  const before = await recordsOf(person);
  assertEquals(before.length, 24);

  const second = await call(person, "import", await ownBundleText());
  assertEquals([second.data.imported, second.data.updated, second.data.unchanged], [0, 0, 24]);
  assertEquals(second.data.patient, "unchanged");
  assertEquals(await recordsOf(person), before);

  const bundle = await ownBundle();
  const changed = bundle.entry.find(({ resource }: Fhir) => resource.id === "cond-1").resource;
  changed.code.text = "Invasive ductal carcinoma, restaged";
  const third = await call(person, "import", bundle);
  assertEquals([third.data.imported, third.data.updated, third.data.unchanged], [0, 1, 23]);
  const after = await recordsOf(person);
  const now = after.find(({ source_id }) => source_id === "Condition/cond-1");
  assertEquals(now?.title, "Invasive ductal carcinoma, restaged");
  assertEquals(now?.medical_record_contents.fhir, changed);
  assertEquals(
    after.filter((record) => record.id !== now?.id),
    before.filter(({ id }) => id !== now?.id),
  );

  const { data: registry } = await person.client.from("patients")
    .select("first_name, last_name, date_of_birth, city").eq("id", person.id).single();
  assertEquals(registry, {
    first_name: "Ananya",
    last_name: "Rao",
    date_of_birth: "1979-08-23",
    city: "Bengaluru",
  });
});

databaseTest("an imported number is stored with the precision it was given", async () => {
  const person = await newPatient();
  await call(person, "import", await ownBundleText());
  const [row] = await withDatabase((sql) =>
    sql`select c.fhir #>> '{valueQuantity,value}' as value
        from public.medical_records as r
        join public.medical_record_contents as c on c.record_id = r.id
        where r.patient_id = ${person.id} and r.source_id = 'Observation/obs-hb-1'`
  );
  assertEquals(row?.value, "11.20");
});

for (const { name, text } of syntheaBundles()) {
  Deno.test(`Synthea's ${name} is imported in under a second, twice without a change`, async () => {
    const person = await newPatient();
    const started = performance.now();
    const first = await call(person, "import", text);
    const took = performance.now() - started;
    assertEquals([first.status, first.data.error_count, first.data.patient], [200, 0, "filled"]);
    assert(first.data.imported > 100 && took < 1_000, `${first.data.imported} in ${took} ms`);
    const second = await call(person, "import", text);
    assertEquals([second.data.imported, second.data.updated], [0, 0]);
    assertEquals(second.data.unchanged, first.data.imported);
    assertEquals((await recordsOf(person)).length, first.data.imported);
  });
}

Deno.test("somebody else's history is refused whole, and nothing changes", async () => {
  const person = await newPatient();
  await call(person, "import", await ownBundleText());
  const before = await recordsOf(person);
  const own = await ownBundle();
  const othersBirthday = structuredClone(own);
  othersBirthday.entry[0].resource.birthDate = "1979-08-24";
  const othersNumber = structuredClone(own);
  othersNumber.entry[0].resource.identifier[0].value = "BL-9999-9";
  const namesake = structuredClone(own);
  Object.assign(namesake.entry[0].resource.name[0], { family: "Kuvalis", given: ["Lavelle"] });
  const mixed = structuredClone(own);
  mixed.entry[5].resource.subject.reference = "Patient/another";
  for (const bundle of [othersBirthday, othersNumber, namesake, mixed]) {
    for (const { resource } of bundle.entry) if (resource.code?.text) resource.code.text += " x";
    const { status, code } = await call(person, "import", bundle);
    assertEquals([status, code], [422, "wrong_patient"]);
  }
  assertEquals(await recordsOf(person), before);
});

Deno.test("nobody imports for a patient without a right on that patient", async () => {
  const [victim, stranger] = [await newPatient(), await newPatient()];
  for (const patient_id of [victim.id, ABSENT_ID]) {
    const { status, code } = await call(
      stranger,
      `import?patient_id=${patient_id}`,
      bundleOf(condition()),
    );
    assertEquals([status, code], [404, "not_found"]);
  }
  assertEquals(await recordsOf(victim), []);
  assertEquals(await recordsOf(stranger), []);
});

databaseTest(
  "a doctor imports and uploads for a patient only while the chart is open",
  async () => {
    const [sick, doctor] = [await newPatient(), await newDoctor()];
    const importFor = () => call(doctor, `import?patient_id=${sick.id}`, bundleOf(condition()));
    assertEquals((await importFor()).code, "not_found");
    await startCare(doctor, sick);
    assertEquals((await importFor()).code, "not_found");
    doctor.session.access_token =
      (await doctor.client.auth.getSession()).data.session!.access_token;

    const chart = await openChart(doctor, sick);
    const imported = await importFor();
    assertEquals([imported.status, imported.data.imported, imported.data.patient_id], [
      200,
      1,
      sick.id,
    ]);
    assertEquals((await recordsOf(sick)).map(({ title }) => title), ["Anaemia"]);
    const recordId = await newRecord(doctor, sick.id);
    const { bytes, announced } = await sampleFile("application/dicom");
    await upload(doctor, recordId, announced, bytes, "application/dicom");
    assertEquals((await call(doctor, `${recordId}/complete`)).status, 200);
    assertEquals((await call(doctor, `${recordId}/download-url`)).status, 200);

    await must(doctor.client.rpc("close_chart", { p_id: chart }));
    assertEquals((await importFor()).code, "not_found");
    assertEquals((await call(doctor, `${recordId}/download-url`)).code, "not_found");
    assertEquals((await recordsOf(sick)).length, 2);
  },
);

Deno.test("bad resources are reported and the rest goes in", async () => {
  const person = await newPatient();
  const { status, data } = await call(
    person,
    "import",
    bundleOf(
      patient(),
      condition({ id: "nul", note: [{ text: "x\u0000y" }] }),
      condition({ id: "half", note: [{ text: "x\ud800y" }] }),
      condition({ id: "bad", code: "x" }),
      observation({ id: "huge", valueQuantity: { value: 1e300 } }),
      { resourceType: "Claim" },
      condition({ id: "fine" }),
    ),
  );
  assertEquals([status, data.imported, data.error_count], [200, 2, 3]);
  assertEquals(data.skipped, { Claim: 1 });
  assertEquals((await recordsOf(person)).map(({ source_id }) => source_id).toSorted(), [
    "Condition/fine",
    "Observation/huge",
  ]);
});

Deno.test("bodies that are no bundle are refused, and nothing changes", async () => {
  const person = await newPatient();
  const entry = JSON.stringify({ resource: condition() });
  const bundle = (entries: string) =>
    `{"resourceType":"Bundle","type":"collection","entry":[${entries}]}`;
  const bad: [string | Uint8Array<ArrayBuffer>, number][] = [
    ["", 400],
    ["{", 400],
    ["[]", 400],
    [bundle(Array(100_000).fill(entry).join(",")), 400],
    [bundle("[".repeat(100) + "]".repeat(100)), 400],
    ["[".repeat(1_000_000), 400],
    [bundle(entry).replace('"type"', '"unknown":1,"type"'), 400],
    [Uint8Array.of(0x22, 0xff, 0x22), 400],
    [new Uint8Array(21 * 1024 * 1024).fill(0x20), 413],
  ];
  for (const [body, expected] of bad) {
    const { status } = await call(person, "import", body);
    assertEquals(status, expected);
  }
  assertEquals(await recordsOf(person), []);
});

Deno.test("a caller who imports too often is told to wait", async () => {
  const person = await newPatient();
  const statuses: number[] = [];
  let last = await call(person, "import", bundleOf());
  for (let count = 0; count < 12 && last.status === 200; count++) {
    statuses.push(last.status);
    assertEquals(last.headers.get("ratelimit-limit"), "10");
    last = await call(person, "import", bundleOf());
  }
  assertEquals([last.status, last.code], [429, "rate_limited"]);
  assert(Number(last.headers.get("retry-after")) > 0);
  assertEquals(last.headers.get("ratelimit-remaining"), "0");
  assert(statuses.length >= 10);
  assertEquals((await call(await newPatient(), "import", bundleOf())).status, 200);
});

// Sessions -----------------------------------------------------------------------------------------

Deno.test("a token whose session was signed out opens nothing, though it has not expired", async () => {
  const person = await newPatient();
  const recordId = await newFile(person);
  await person.client.auth.signOut();
  const { announced } = await sampleFile("image/png");
  for (const action of ACTIONS) {
    const body = action === "upload-url" ? announced : {};
    const { status, code } = await call(person, `${recordId}/${action}`, body);
    assertEquals([status, code], [401, "unauthenticated"]);
  }
  const { status, code } = await call(person, "import", bundleOf(condition()));
  assertEquals([status, code], [401, "unauthenticated"]);
});

Deno.test("API keys and changed tokens open nothing", async () => {
  const person = await newPatient();
  const recordId = await newRecord(person);
  const { access_token } = person.session;
  const [header, body, signature] = access_token.split(".");
  const none = btoa('{"alg":"none","typ":"JWT"}').replace(/=+$/, "");
  const tokens = [
    testEnv().publishableKey,
    testEnv().secretKey,
    `${none}.${body}.`,
    `${header}.${body}.${signature?.split("").toReversed().join("")}`,
    "x",
  ];
  for (const token of tokens) {
    const forged = { ...person, session: { ...person.session, access_token: token } };
    const { status, code } = await call(forged, `${recordId}/download-url`);
    assertEquals([status, code], [401, "unauthenticated"]);
  }
  assertEquals((await call(null, `${recordId}/download-url`)).status, 401);
});

Deno.test("the document of the API is open to everybody", async () => {
  const response = await fetch(`${testEnv().url}/functions/v1/records/openapi.json`);
  assertEquals(response.status, 200);
  const { openapi, servers } = await response.json();
  assertEquals([openapi, servers], ["3.1.0", [{ url: `${testEnv().url}/functions/v1` }]]);
});
