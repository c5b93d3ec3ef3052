// The export route on a database in memory: who is asked what and in which order, what the bundle
// looks like, and how it breaks off.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { RunningExports } from "../../functions/records/export_records.ts";
import {
  createFieldVault,
  keyContext,
  type SealedColumn,
  type StoredKey,
} from "../../functions/_shared/fields.ts";
import { newDataKey } from "../../functions/_shared/key_ring.ts";
import { AppError } from "../../functions/_shared/errors.ts";
import { assertValidBundle } from "../support/bundle_checks.ts";
import type { Fhir } from "./bundles.ts";
import { ask, cursorRow, exportApp, imported, PATIENT_URL } from "./export_app.ts";
import { assertFailure, CALLER_ID, goodClaims, raised, SESSION_ID, sign } from "./support.ts";

const OTHER_ID = "a1b2c3d4-0000-4000-8000-000000000002";
const CONDITION = `{"id": "c1", "subject": {"reference": "${PATIENT_URL}"}, "resourceType": ` +
  `"Condition", "recordedDate": "2026-01-01"}`;

Deno.test("GET /records/export answers a bundle in FHIR's own content type", async () => {
  const { row, contents } = imported(CONDITION);
  const subject = exportApp({
    registry: { first_name: "Asha", date_of_birth: "1979-08-23" },
    identifiers: [{ system: "https://h.example/mrn", value: "7" }],
    rows: [row],
    contents: [contents],
  });
  const response = await ask(subject);
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("content-type"), "application/fhir+json");
  assertEquals(response.headers.get("cache-control"), "no-store");
  assertEquals(response.headers.get("x-content-type-options"), "nosniff");
  assertEquals(response.headers.get("ratelimit-limit"), "10");
  const text = await response.text();
  assertValidBundle(text);
  assertEquals(JSON.parse(text), {
    resourceType: "Bundle",
    type: "collection",
    timestamp: "2026-03-01T12:00:00.000Z",
    entry: [
      {
        fullUrl: PATIENT_URL,
        resource: {
          resourceType: "Patient",
          identifier: [{ system: "https://h.example/mrn", value: "7" }],
          name: [{ given: ["Asha"] }],
          birthDate: "1979-08-23",
        },
      },
      {
        fullUrl: "https://project.example/fhir/https%3A%2F%2Fh.example/Condition/c1",
        resource: JSON.parse(CONDITION),
      },
    ],
  });
});

Deno.test("GET /records/export logs in a transaction of its own, then reads one snapshot as the caller", async () => {
  const { row, contents } = imported(CONDITION);
  const subject = exportApp({ rows: [row], contents: [contents] });
  await (await ask(subject, `?patient_id=${OTHER_ID}&_since=2026-01-01T00:00:00Z&_type=Condition`))
    .text();
  const { sql } = subject.deps;
  const authorize = sql.find("private.authorize_export");
  assertEquals(authorize.values, [OTHER_ID, "2026-01-01T00:00:00Z", "Condition"]);
  const reads = [
    "left join public.patients",
    "declare exported",
    "fetch 500",
    "c.record_id = any",
  ].map((part) => sql.find(part));
  assertEquals([authorize.transaction, ...reads.map(({ transaction }) => transaction)], [
    0,
    1,
    1,
    1,
    1,
  ]);
  // The third asks whether the right still stands.
  assertEquals(sql.find("private.export_grounds").transaction, 2);
  assertEquals(sql.modes, ["change", "snapshot", "change"]);
  assertEquals(sql.ended, ["committed", "committed", "committed"]);
  for (const statement of [authorize, ...reads, sql.find("private.export_grounds")]) {
    const settings = sql.settingsOf(statement);
    const claims = JSON.parse(settings["request.jwt.claims"]!);
    assertEquals([settings.role, claims.sub, claims.session_id], [
      "authenticated",
      CALLER_ID,
      SESSION_ID,
    ]);
  }
});

Deno.test("GET /records/export sends no byte and reads nothing when it cannot be logged", async () => {
  const subject = exportApp({}, { "private.authorize_export": new Error("disk full") });
  await assertFailure(await ask(subject), 500, "internal");
  assertEquals(subject.deps.sql.ended, ["rolled back"]);
});

Deno.test("GET /records/export answers 404 to who has no right on the patient", async () => {
  const subject = exportApp({}, {
    "private.authorize_export": raised("PT404", "not_found", "No patient with this id"),
  });
  await assertFailure(await ask(subject, `?patient_id=${OTHER_ID}`), 404, "not_found");
  assertEquals(subject.deps.sql.modes, ["change"]);
});

Deno.test("GET /records/export answers the failure envelope while nothing has been sent", async () => {
  const { row, contents } = imported(CONDITION);
  const parts = ["left join public.patients", "declare exported", "fetch 500", "c.record_id = any"];
  for (const part of parts) {
    const subject = exportApp({ rows: [row], contents: [contents] }, {
      [part]: raised("57014", "canceling statement due to statement timeout"),
    });
    await assertFailure(await ask(subject), 503, "unavailable");
    assertEquals(subject.deps.sql.ended.slice(0, 2), ["committed", "rolled back"]);
  }
});

Deno.test("GET /records/export takes who it is from the token", async () => {
  const now = Math.floor(Date.now() / 1000);
  const tokens = ["", "Bearer x.y.z", `Bearer ${await sign({ ...goodClaims(), exp: now - 1 })}`];
  for (const authorization of tokens) {
    const subject = exportApp();
    const response = await ask(subject, "", { headers: { authorization } });
    await assertFailure(response, 401, "unauthenticated");
    assertEquals(subject.deps.sql.statements, []);
  }
  const ended = exportApp();
  ended.deps.sql.session_is_live = false;
  await assertFailure(await ask(ended), 401, "unauthenticated");
});

Deno.test("GET /records/export refuses a query that it does not know, before it is logged", async () => {
  const subject = exportApp();
  const bad = [
    "patient_id=1",
    "patient_id=",
    "patient=x",
    "_type=",
    "_type=Claim",
    "_type=Condition,",
    "_type=condition",
    "_type=constructor",
    "_type=Condition&_type=Patient",
    "_since=",
    "_since=2026-01-01",
    "_since=2026-01-01T00:00Z",
    "_since=2026-01-01T00:00:00",
    "_since=2026-02-30T00:00:00Z",
    "_since=2026-01-01T00:00:00+05:30",
    "_since=yesterday",
    "_count=1",
  ];
  for (const query of bad) {
    const { details } = await assertFailure(
      await ask(subject, `?${query}`),
      400,
      "invalid_request",
    );
    assert(details.length > 0, query);
  }
  assertEquals(subject.deps.sql.statements, []);
  for (const query of ["_since=2026-01-01T00:00:00%2B05:30", "_type=Patient,Condition"]) {
    const response = await ask(subject, `?${query}`);
    assertEquals((await response.json()).resourceType, "Bundle");
  }
});

Deno.test("/records/export has no other method, and HEAD is answered without an export", async () => {
  const subject = exportApp();
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    const response = await ask(subject, "", { method });
    await assertFailure(response, 405, "method_not_allowed");
    assertEquals(response.headers.get("allow"), "GET, HEAD");
  }
  const head = await ask(subject, "", { method: "HEAD" });
  assertEquals([head.status, head.body], [200, null]);
  assertEquals(head.headers.get("content-type"), "application/fhir+json");
  assertEquals(subject.deps.sql.statements, []);
});

Deno.test("GET /records/export answers 429 when the bucket is empty", async () => {
  const refused = { allowed: false, remaining: 0, reset_seconds: 7 };
  const subject = exportApp({}, {}, { rateLimiter: { take: () => Promise.resolve(refused) } });
  const response = await ask(subject);
  await assertFailure(response, 429, "rate_limited");
  assertEquals(response.headers.get("retry-after"), "7");
  assertEquals(subject.deps.sql.statements, []);
});

Deno.test("an export of nothing is a bundle without entries", async () => {
  const text = await (await ask(exportApp({ registry: null }))).text();
  assertEquals(JSON.parse(text), {
    resourceType: "Bundle",
    type: "collection",
    timestamp: "2026-03-01T12:00:00.000Z",
  });
});

Deno.test("_type decides whether the Patient goes along", async () => {
  for (
    const [query, is_there] of [["", true], ["?_type=Patient,Condition", true], [
      "?_type=Condition",
      false,
    ]] as const
  ) {
    const { entry } = await (await ask(exportApp(), query)).json();
    assertEquals(entry?.length, is_there ? 1 : undefined, query);
  }
});

/** As many records as make several groups and pages. */
function longHistory(count: number) {
  const all = Array.from(
    { length: count },
    (_, i) => imported(CONDITION.replace("c1", `c${i}`), { size: 2_500 }),
  );
  return { rows: all.map(({ row }) => row), contents: all.map(({ contents }) => contents) };
}

Deno.test("an export reads on only as far as it is read, and gives every record once", async () => {
  const subject = exportApp(longHistory(1_203));
  const response = await ask(subject);
  const { statements } = subject.deps.sql;
  const groups = () => statements.filter(({ text }) => text.includes("c.record_id = any")).length;
  assertEquals(groups(), 1);
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let pieces = 1;; pieces++) {
    const { value, done } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    if (done) break;
    assert(groups() <= pieces + 1, `${groups()} groups were read for ${pieces} pieces`);
    assert(value.length < 1_500_000);
  }
  assertValidBundle(text);
  const ids = JSON.parse(text).entry.slice(1).map(({ resource }: never) => resource["id"]);
  assertEquals(ids, Array.from({ length: 1_203 }, (_, i) => `c${i}`));
  assertEquals(groups(), 12, "of at most 104 records, which are 256 KiB");
});

Deno.test("a record that is larger than a group is one by itself", async () => {
  const rows = [10, 5_000_000, 10, 10].map((size) => cursorRow({ size }));
  const subject = exportApp({ rows });
  const { entry } = await (await ask(subject)).json();
  assertEquals(entry.length, 5);
  const groups = subject.deps.sql.statements.filter(({ text }) =>
    text.includes("c.record_id = any")
  ).map(({ values }) => String(values[1]).split(",").length);
  assertEquals(groups, [1, 1, 2]);
});

/** Reads until the stream ends or fails; answers the text and what it failed with. */
async function readAll(response: Response): Promise<{ text: string; failure: unknown }> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const piece of response.body!) text += decoder.decode(piece, { stream: true });
    return { text, failure: null };
  } catch (failure) {
    return { text, failure };
  }
}

Deno.test("an export that fails on the way errors, and its JSON has no end", async () => {
  const history = longHistory(500);
  let groups = 0;
  const subject = exportApp(history, {
    "c.record_id = any": ([, ids]) => {
      if (++groups === 3) throw raised("XX001", "invalid page of Ananya Rao");
      return history.contents.filter(({ record_id }) => String(ids).includes(record_id));
    },
  });
  const { text, failure } = await readAll(await ask(subject));
  assert(failure instanceof Error && !failure.message.includes("Ananya"));
  assert(text.startsWith('{"resourceType":"Bundle"') && text.includes('"c200"'));
  assertThrows(() => JSON.parse(text), SyntaxError);
  assertEquals(subject.deps.sql.ended.filter((how) => how === "rolled back").length, 1);
  const faults = subject.deps.logged.filter((line) => "fault" in line);
  assertEquals(faults.length, 1);
  assert(!JSON.stringify(faults).includes("Ananya"));
});

Deno.test("an export ends when the caller's grounds have changed, whichever way", async () => {
  const history = longHistory(500);
  for (const then of ["", "chart", "chart sensitive x", "owner"]) {
    let asked = 0;
    const subject = exportApp({ ...history, grounds: "chart sensitive" }, {
      "private.export_grounds": () => [{ grounds: ++asked < 3 ? "chart sensitive" : then }],
    });
    const { text, failure } = await readAll(await ask(subject));
    assert(failure instanceof Error, then);
    assertThrows(() => JSON.parse(text), SyntaxError);
    assert(text.includes('"c100"') && !text.includes('"c250"'), "what was not written is not");
  }
});

Deno.test("an export ends when the session has, between two pages", async () => {
  const subject = exportApp(longHistory(500));
  const response = await ask(subject);
  subject.deps.sql.session_is_live = false;
  const { text, failure } = await readAll(response);
  assert(failure instanceof Error);
  assertThrows(() => JSON.parse(text), SyntaxError);
});

Deno.test("an export that takes over ten minutes ends", async () => {
  const history = longHistory(500);
  let clock = 0;
  const subject = exportApp(history, {}, { now: () => clock });
  const response = await ask(subject);
  clock = 10 * 60_000 + 1;
  assert((await readAll(response)).failure instanceof Error);
});

Deno.test("a reader who leaves rolls back what is read, without a line in the log", async () => {
  const subject = exportApp(longHistory(1_000));
  const response = await ask(subject);
  const reader = response.body!.getReader();
  await reader.read();
  await reader.cancel("gone");
  // The place of the caller is free again when the transaction has ended.
  while (subject.deps.sql.ended.filter((how) => how === "rolled back").length !== 1) {
    await new Promise((resolve) => setTimeout(resolve));
  }
  assertEquals(subject.deps.logged.filter((line) => "fault" in line), []);
  assertEquals((await ask(subject)).status, 200);
});

Deno.test("a caller has one export at a time, and an instance three", async () => {
  const subject = exportApp(longHistory(1_000));
  const first = await ask(subject);
  const second = await ask(subject);
  await assertFailure(second, 503, "unavailable");
  assertEquals(second.headers.get("retry-after"), "5");
  await first.text();
  assertEquals((await ask(subject)).status, 200);

  const running = new RunningExports(3);
  const [leave] = ["a", "b", "c"].map((id) => running.enter(id));
  assertThrows(() => running.enter("d"), AppError, "Too many exports");
  leave!();
  running.enter("d");
});

Deno.test("a refused export gives its place back", async () => {
  let count = 0;
  const subject = exportApp({}, {
    "private.authorize_export": () => {
      if (++count === 1) throw raised("PT404", "not_found", "No patient with this id");
      return [{ grounds: "owner", identifiers: [] }];
    },
  });
  await assertFailure(await ask(subject), 404, "not_found");
  assertEquals((await ask(subject)).status, 200);
});

/** A history whose phone, address and one description are sealed under a key of the patient. */
async function sealedHistory() {
  const { deps } = exportApp();
  const data_key_id = crypto.randomUUID();
  const { wrapped_key, ...version } = await deps.keyRing.wrap(
    newDataKey(),
    keyContext(data_key_id, CALLER_ID),
  );
  const key: StoredKey = { data_key_id, ...version, wrapped_key: wrapped_key.toHex() };
  const vault = createFieldVault(deps);
  const seal = (column: SealedColumn, row_id: string, text: string) =>
    vault.seal(CALLER_ID, key, { column, row_id }, text);
  const row = cursorRow();
  const history = {
    registry: {
      phone: await seal("patients.phone", CALLER_ID, "+91 98450 00117"),
      address: await seal("patients.address", CALLER_ID, "14, 3rd Cross"),
    },
    rows: [row],
    contents: [{
      record_id: row.id,
      description: await seal("medical_record_contents.description", row.id, "Clear margins"),
      fhir: null,
      subject_reference: null,
    }],
    keys: [key],
  };
  return { history, key };
}

Deno.test("what is kept sealed goes out in plain text, and nothing sealed does", async () => {
  const { history, key } = await sealedHistory();
  // However the caller writes the id.
  for (const query of ["", `?patient_id=${CALLER_ID.toUpperCase()}`]) {
    const text = await (await ask(exportApp(history), query)).text();
    assertValidBundle(text);
    const [patient, document] = JSON.parse(text).entry.map(({ resource }: Fhir) => resource);
    assertEquals(patient.telecom, [{ system: "phone", value: "+91 98450 00117" }]);
    assertEquals(patient.address, [{ line: ["14, 3rd Cross"] }]);
    assertEquals(atob(document.content[0].attachment.data), "Clear margins");
    assert(!text.includes("v1.") && !text.includes(key.data_key_id));
  }
});

Deno.test("what a key has sealed that was erased is not there, and the rest is", async () => {
  const { history, key } = await sealedHistory();
  const text = await (await ask(exportApp({ ...history, keys: [{ ...key, wrapped_key: null }] })))
    .text();
  assertValidBundle(text);
  const [patient, document] = JSON.parse(text).entry.map(({ resource }: Fhir) => resource);
  assertEquals(patient, { resourceType: "Patient" });
  assertEquals(document.content, [{ attachment: { title: "CT of the chest" } }]);
});

Deno.test("an export of the Patient alone asks for right and keys, too", async () => {
  const { history } = await sealedHistory();
  const subject = exportApp({ ...history, rows: [] });
  assertEquals(JSON.parse(await (await ask(subject)).text()).entry.length, 1);
  assert(subject.deps.sql.find("private.export_keys"));
  const ended = exportApp({ ...history, rows: [] }, {
    "private.export_grounds": [{ grounds: "" }],
  });
  await assertFailure(await ask(ended), 404, "not_found");
});
