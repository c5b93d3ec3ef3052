// The routes of `identity` as HTTP sees them: the matrix, what reaches the database, what is answered,
// and the document.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Validator } from "@seriousme/openapi-schema-validator";
import { openBlindIndex } from "../../functions/_shared/blind_index.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import { createFieldVault, keyContext } from "../../functions/_shared/fields.ts";
import { newDataKey } from "../../functions/_shared/key_ring.ts";
import { createApp } from "../../functions/identity/routes.ts";
import { FieldStore } from "./field_store.ts";
import { testEveryRoute } from "./matrix.ts";
import {
  type Answer,
  assertFailure,
  assertSuccess,
  CALLER_ID,
  fakeDeps,
  post,
  raised,
  type Subject,
} from "./support.ts";

const OTHER_ID = "a1b2c3d4-0000-4000-8000-000000000002";
const FIELDS = {
  phone: "+91 98450 00117",
  address: "14, 3rd Cross, Jayanagar",
  insurance_policy_number: "HX 204-118",
  emergency_contact_phone: "+91 98450 00118",
};
const FOUND = { id: OTHER_ID, first_name: "Ananya", last_name: "Rao" };

/** An app on a database in memory; `answers` replace some of its own. */
function build(
  changes: Partial<Deps> = {},
  answers: Record<string, Answer> = {},
  store = new FieldStore(CALLER_ID),
): Subject & { store: FieldStore } {
  const deps = fakeDeps({ ...store.answers, find_patients: [FOUND], ...answers }, changes);
  return { app: createApp(deps), deps, store };
}

const patch = (subject: Subject, body: object) =>
  post(subject, "/identity/patient", body, {}, "PATCH");
const read = (subject: Subject, ...patient_ids: string[]) =>
  post(subject, "/identity/patients/read", { patient_ids });
const search = (subject: Subject, body: object) => post(subject, "/identity/patients/search", body);

testEveryRoute((changes) => build(changes), [
  {
    method: "PATCH",
    path: "/identity/patient",
    body: FIELDS,
    withUnknownField: { ...FIELDS, city: "Pune" },
    withWrongType: { phone: 98450 },
    maxBytes: 64 * 1024,
  },
  {
    path: "/identity/patients/read",
    body: { patient_ids: [CALLER_ID] },
    withUnknownField: { patient_ids: [CALLER_ID], reason: "x" },
    withWrongType: { patient_ids: CALLER_ID },
    maxBytes: 64 * 1024,
  },
  {
    path: "/identity/patients/search",
    body: { phone: FIELDS.phone },
    withUnknownField: { phone: FIELDS.phone, limit: 1 },
    withWrongType: { phone: ["x"] },
    maxBytes: 64 * 1024,
  },
]);

Deno.test("PATCH /identity/patient hands the database sealed values and digests, as the caller", async () => {
  const subject = build();
  const data = await assertSuccess(await patch(subject, FIELDS));
  assertEquals(data, { patient_id: CALLER_ID, updated: Object.keys(FIELDS) });
  const { sql } = subject.deps;
  const written = sql.find("write_patient_fields");
  assertEquals(sql.settingsOf(written).role, "authenticated");
  const [fields, searchKeys] = written.values.map((value) => JSON.parse(String(value)));
  assertEquals(Object.keys(fields), Object.keys(FIELDS));
  const [key] = subject.store.keys.get(CALLER_ID)!;
  for (const value of Object.values(fields)) {
    assertMatch(String(value), new RegExp(`^v1\\.${key!.data_key_id}\\.[A-Za-z0-9+/]+=*$`));
  }
  const index = openBlindIndex(subject.deps.blindIndexKey);
  assertEquals(searchKeys, {
    ...await index.phone(FIELDS.phone),
    ...await index.insurancePolicyNumber(FIELDS.insurance_policy_number),
  });
});

Deno.test("PATCH /identity/patient sends no plaintext to the database, the log or the answer", async () => {
  const subject = build();
  const response = await patch(subject, FIELDS);
  const everything = [
    JSON.stringify(subject.deps.sql.statements),
    JSON.stringify(subject.deps.logged),
    await response.text(),
  ].join("\n");
  for (const text of Object.values(FIELDS)) {
    for (const form of [text, btoa(text), text.replace(/\W/g, "")]) {
      assert(!everything.includes(form), `${form} is in it`);
    }
  }
});

Deno.test("PATCH /identity/patient makes a key once, as a worker of that one right", async () => {
  const subject = build();
  await assertSuccess(await patch(subject, { phone: FIELDS.phone }));
  await assertSuccess(await patch(subject, { address: FIELDS.address }));
  const { sql } = subject.deps;
  const made = sql.statements.filter(({ text }) => text.includes("keep_patient_key"));
  assertEquals(made.length, 1);
  assertEquals(sql.settingsOf(made[0]!).role, "identity_worker");
  assertEquals(JSON.parse(sql.settingsOf(made[0]!)["request.jwt.claims"]!).sub, CALLER_ID);
  const [patientId, , keyId, version, wrapped] = made[0]!.values;
  assertEquals([patientId, keyId, version], [CALLER_ID, "test", 2]);
  assertMatch(String(wrapped), /^[0-9a-f]{120}$/);
});

Deno.test("PATCH /identity/patient takes the key that another request has made meanwhile", async () => {
  const store = new FieldStore(CALLER_ID);
  await assertSuccess(await patch(build({}, {}, store), { phone: "555-0100" }));
  // It is told that there is no key, and finds out when it comes to keep its own.
  const none = { data_key_id: null, key_id: null, key_version: null, wrapped_key: null };
  const late = build({}, { field_key_for_patient: [{ patient_id: CALLER_ID, ...none }] }, store);
  await assertSuccess(await patch(late, { phone: "555-0101" }));
  assertEquals(store.keys.get(CALLER_ID)!.length, 1);
  const [{ phone }] = await assertSuccess(await read(build({}, {}, store), CALLER_ID));
  assertEquals(phone, "555-0101");
});

Deno.test("PATCH /identity/patient changes what it names, and null empties", async () => {
  const subject = build();
  await assertSuccess(await patch(subject, FIELDS));
  await assertSuccess(await patch(subject, { phone: null, address: "1 Elm" }));
  const [patient] = await assertSuccess(await read(subject, CALLER_ID));
  assertEquals(patient, { id: CALLER_ID, ...FIELDS, phone: null, address: "1 Elm" });
  const keys = subject.store.searchKeys.get(CALLER_ID)!;
  assertEquals([keys.phone, keys.phone_national], [null, null]);
  assert(keys.insurance_policy_number);
});

Deno.test("PATCH /identity/patient removes the digest with country when the new number has none", async () => {
  const subject = build();
  await assertSuccess(await patch(subject, { phone: "+91 98450 00117" }));
  await assertSuccess(await patch(subject, { phone: "98450 00118" }));
  const { phone, phone_national } = subject.store.searchKeys.get(CALLER_ID)!;
  assertEquals(phone, null);
  assert(phone_national);
});

Deno.test("PATCH /identity/patient needs no key to empty a field", async () => {
  const subject = build();
  await assertSuccess(await patch(subject, { phone: null }));
  const { statements } = subject.deps.sql;
  assert(!statements.some(({ text }) => /field_key_for|keep_patient_key/.test(text)));
  assertEquals(JSON.parse(String(subject.deps.sql.find("write_patient_fields").values[0])), {
    phone: null,
  });
});

Deno.test("PATCH /identity/patient refuses values that the columns never took", async () => {
  const subject = build();
  for (
    const body of [
      {},
      { phone: "call me" },
      { phone: "123" },
      { phone: "1".repeat(41) },
      { phone: "" },
      { emergency_contact_phone: "call my mother" },
      { address: "" },
      { address: "x".repeat(501) },
      { address: "👩".repeat(501) },
      { insurance_policy_number: "" },
      { insurance_policy_number: "x".repeat(101) },
      { address: "a\u0000b" },
      { address: "\ud800" },
    ]
  ) {
    await assertFailure(await patch(subject, body), 400, "invalid_request");
  }
  assertEquals(subject.deps.sql.statements, []);
});

Deno.test("PATCH /identity/patient takes the longest values, counted in characters", async () => {
  const longest = {
    phone: "1".repeat(40),
    address: "👩".repeat(500),
    insurance_policy_number: "क".repeat(100),
    emergency_contact_phone: "1234",
  };
  const subject = build();
  await assertSuccess(await patch(subject, longest));
  const [patient] = await assertSuccess(await read(subject, CALLER_ID));
  assertEquals(patient, { id: CALLER_ID, ...longest });
});

Deno.test("PATCH /identity/patient answers 404 not_found to an account that is no patient's", async () => {
  const refusal = raised("PT404", "not_found", "No patient with this id");
  const subject = build({}, { field_key_for_patient: refusal, write_patient_fields: refusal });
  await assertFailure(await patch(subject, FIELDS), 404, "not_found");
  await assertFailure(await patch(subject, { phone: null }), 404, "not_found");
});

Deno.test("POST /identity/patients/read opens what the database gives, in the order asked for", async () => {
  const store = new FieldStore(CALLER_ID);
  await assertSuccess(await patch(build({}, {}, store), FIELDS));
  store.patients.set(OTHER_ID, {});
  const subject = build({}, {}, store);
  const asked = [OTHER_ID, crypto.randomUUID(), CALLER_ID.toUpperCase()];
  const empty = Object.fromEntries(Object.keys(FIELDS).map((name) => [name, null]));
  assertEquals(await assertSuccess(await read(subject, ...asked)), [
    { id: OTHER_ID, ...empty },
    { id: CALLER_ID, ...FIELDS },
  ]);
  const asStatement = subject.deps.sql.find("read_patient_fields");
  assertEquals(subject.deps.sql.settingsOf(asStatement).role, "authenticated");
  assertEquals(asStatement.values, [`{${asked.join(",")}}`]);
});

Deno.test("POST /identity/patients/read opens nothing unless the transaction was committed", async () => {
  const subject = build({}, { read_patient_fields: raised("PT401", "unauthenticated") });
  let asked = 0;
  subject.deps.keyRing.unwrap = () => {
    asked++;
    return Promise.reject(new Error("not here"));
  };
  await assertFailure(await read(subject, CALLER_ID), 401, "unauthenticated");
  assertEquals([asked, subject.deps.sql.ended], [0, ["rolled back"]]);
});

Deno.test("POST /identity/patients/read takes 1 to 100 ids", async () => {
  const subject = build();
  const ids = Array.from({ length: 101 }, () => crypto.randomUUID());
  await assertSuccess(await read(subject, ...ids.slice(1)));
  for (const wrong of [ids, [], ["x"], [`${CALLER_ID}}`]]) {
    await assertFailure(await read(subject, ...wrong), 400, "invalid_request");
  }
  assertEquals(subject.deps.sql.statements.length, 2);
});

Deno.test("POST /identity/patients/read refuses values that were moved between rows or columns", async () => {
  const { keyRing, now } = fakeDeps();
  const data_key_id = crypto.randomUUID();
  const wrapped = await keyRing.wrap(newDataKey(), keyContext(data_key_id, OTHER_ID));
  const otherKey = { ...wrapped, data_key_id, wrapped_key: wrapped.wrapped_key.toHex() };
  const place = { column: "patients.phone", row_id: OTHER_ID } as const;
  const vault = createFieldVault({ keyRing, now });
  const ofOther = await vault.seal(OTHER_ID, otherKey, place, FIELDS.phone);

  const moves: ((store: FieldStore, row: Record<string, string | null>) => void)[] = [
    // To another column of the row.
    (_, row) => row.phone = row.emergency_contact_phone!,
    // From another patient's row, without and with their key.
    (_, row) => row.phone = ofOther,
    (store, row) => {
      row.phone = ofOther;
      store.keys.get(CALLER_ID)!.push(otherKey);
    },
    // Overwritten in plaintext.
    (_, row) => row.phone = FIELDS.phone,
  ];
  for (const move of moves) {
    const subject = build();
    await assertSuccess(await patch(subject, FIELDS));
    await assertSuccess(await read(subject, CALLER_ID));
    move(subject.store, subject.store.patients.get(CALLER_ID)!);
    await assertFailure(await read(subject, CALLER_ID), 500, "internal");
    assert(subject.deps.logged.some((entry) => "fault" in entry));
    assert(!JSON.stringify(subject.deps.logged).includes("98450"), "the log holds no number");
  }
});

Deno.test("POST /identity/patients/read shows nothing of what was sealed under an erased key", async () => {
  const subject = build();
  await assertSuccess(await patch(subject, FIELDS));
  await assertSuccess(await read(subject, CALLER_ID));
  subject.store.keys.get(CALLER_ID)![0]!.wrapped_key = null;
  const [patient] = await assertSuccess(await read(subject, CALLER_ID));
  assertEquals(patient.phone, null);
  await assertSuccess(await patch(subject, { phone: "555-0101" }));
  const [later] = await assertSuccess(await read(subject, CALLER_ID));
  assertEquals([later.phone, later.address], ["555-0101", null]);
});

Deno.test("POST /identity/patients/read answers 503 unavailable when a key's version is not at hand", async () => {
  const subject = build();
  await assertSuccess(await patch(subject, FIELDS));
  subject.store.keys.get(CALLER_ID)![0]!.key_version = 3;
  const fresh = build({}, {}, subject.store);
  await assertFailure(await read(fresh, CALLER_ID), 503, "unavailable");
});

Deno.test("POST /identity/patients/search asks by digests alone, as the caller", async () => {
  const index = openBlindIndex(fakeDeps().blindIndexKey);
  for (
    const [body, digests] of [
      [{ phone: "0091 98450-00117" }, await index.phone(FIELDS.phone)],
      [{ insurance_policy_number: "hx204118" }, await index.insurancePolicyNumber("HX 204-118")],
      [{ phone: "----" }, {}],
    ] as const
  ) {
    const subject = build();
    assertEquals(await assertSuccess(await search(subject, body)), [FOUND]);
    const { sql } = subject.deps;
    const asked = sql.find("find_patients");
    assertEquals(asked.values.map((value) => JSON.parse(String(value))), [digests]);
    assertEquals(sql.settingsOf(asked).role, "authenticated");
    for (const text of Object.values(body)) {
      assert(!JSON.stringify([sql.statements, subject.deps.logged]).includes(text));
    }
  }
});

Deno.test("POST /identity/patients/search takes one of the two", async () => {
  const subject = build();
  const { phone, insurance_policy_number } = FIELDS;
  for (const body of [{}, { phone, insurance_policy_number }, { phone: "Rao" }]) {
    await assertFailure(await search(subject, body), 400, "invalid_request");
  }
  assertEquals(subject.deps.sql.statements, []);
});

Deno.test("GET /identity/openapi.json is a valid OpenAPI 3.1 document of every route", async () => {
  const { app } = build();
  const response = await app.request("/identity/openapi.json");
  assertEquals(response.headers.get("cache-control"), "public, max-age=300");
  const document = await response.json();
  assertEquals(document.openapi, "3.1.0");
  assertEquals(await new Validator().validate(structuredClone(document)), { valid: true });
  assertEquals(Object.keys(document.paths).toSorted(), [
    "/identity/openapi.json",
    "/identity/patient",
    "/identity/patients/read",
    "/identity/patients/search",
  ]);
  const { patch } = document.paths["/identity/patient"];
  const body = patch.requestBody.content["application/json"].schema;
  assertEquals(Object.keys(body.properties), Object.keys(FIELDS));
  assertEquals(patch.requestBody.required, true);
  assertStringIncludes(patch.responses["404"].description, "not_found");
});
