// The function `records` against its database: a bundle imported at once and row by row, and the way
// to a download with and without everything that surrounds its two statements.

import { Hono } from "hono";
import postgres from "postgres";
import { asCaller, type Caller, openDatabase } from "../../functions/_shared/db.ts";
import { dataKeyContext } from "../../functions/_shared/data_keys.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import { newDataKey, openKeyRing } from "../../functions/_shared/key_ring.ts";
import { createQueueReceiver } from "../../functions/_shared/queue.ts";
import { postgresLimiter, pseudonyms } from "../../functions/_shared/rate_limit.ts";
import type { ObjectStore } from "../../functions/_shared/storage.ts";
import { openFileKey } from "../../functions/records/file_keys.ts";
import { createApp } from "../../functions/records/routes.ts";
import { ISSUER, KEY_VERSIONS, PUBLIC_URL, publicJwk, sign } from "../functions/support.ts";
import { type BenchResult, measure, median, round } from "./harness.ts";

/** Resources of the bundle that is imported. */
const RESOURCES = 1_000;

/** Imports a bundle of observations, and inserts as many rows one by one. */
export async function benchImport(url: string): Promise<BenchResult[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const deps = createDeps(url);
  try {
    const app = createApp(deps);
    let turn = 0;
    const seconds: number[] = [];
    const result = await measure({
      name: `import of ${RESOURCES} resources, against as many single inserts`,
      turns: 1,
      product: async () => {
        const who = await person(sql, `p${100 + turn}`);
        const began = performance.now();
        const response = await app.request("/records/import", {
          method: "POST",
          headers: {
            authorization: `Bearer ${who.token}`,
            "content-type": "application/fhir+json",
          },
          body: JSON.stringify(bundle(turn++)),
        });
        const { data } = await response.json();
        if (data?.imported !== RESOURCES) throw new Error("The bundle was not imported whole");
        seconds.push((performance.now() - began) / 1000);
      },
      plain: async () => {
        const { caller } = await person(sql, `p${500 + turn}`);
        await insertOneByOne(sql, caller.id);
      },
    });
    result.figures = `${Math.round(RESOURCES / median(seconds))} resources/s`;
    return [result];
  } finally {
    await sql.end();
  }
}

/** Brings the key of a record's file, which the population lacks. */
async function addKey(sql: postgres.Sql, deps: Deps, recordId: string): Promise<void> {
  const [contents] = await sql`
    select data_key_id as id from public.medical_record_contents where record_id = ${recordId}`;
  const about = { id: contents!.id, purpose: "record_file" as const, subject_id: recordId };
  const wrapped = await deps.keyRing.wrap(newDataKey(), dataKeyContext(about));
  await sql`insert into private.data_keys ${sql({ ...about, ...wrapped })}`;
}

/** Asks for download addresses, through the product and through a handler without anything around. */
export async function benchDownload(url: string): Promise<BenchResult[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const deps = createDeps(url);
  try {
    const { caller, token } = await person(sql, "p5");
    const [record] = await sql`
      select id from public.medical_records where patient_id = ${caller.id} limit 1`;
    await addKey(sql, deps, record!.id);
    const path = `/records/${record!.id}/download-url`;
    const app = createApp(deps);
    const bare = new Hono().post("/records/:id/download-url", async (c) => {
      const rows = await asCaller(deps.sql, caller, (tx) =>
        tx<{ storage_path: string }>`
          select storage_path, file_name, file_type, file_size, file_sha256
          from private.authorize_record_download(${c.req.param("id")}::uuid)`);
      const { storage_path } = rows[0]!;
      return c.json({
        encryption: await openFileKey(deps, caller, c.req.param("id"), storage_path),
        url: await deps.recordFiles.signDownload(storage_path, "file", 60),
      });
    });
    const init = { method: "POST", headers: { authorization: `Bearer ${token}` } };
    const ask = (app: { request: typeof bare.request }) => async () => {
      const response = await app.request(path, init);
      await response.text();
      if (response.status !== 200) throw new Error(`The answer was ${response.status}`);
    };
    const result = await measure({
      name: "download-url, against a bare handler of the same statements",
      turns: 100,
      product: ask(app),
      plain: ask(bare),
    });
    const perSecond = 1 / Number(result.ratio);
    result.figures += `; requests/s ratio ${round(perSecond)}`;
    return [result];
  } finally {
    await sql.end();
  }
}

const FILES: ObjectStore = {
  signUpload: () => Promise.reject(new Error("Nothing is uploaded here")),
  signDownload: (path) => Promise.resolve(`${PUBLIC_URL}/${path}`),
  open: () => Promise.resolve(null),
  create: () => Promise.reject(new Error("Nothing is made here")),
  remove: () => Promise.resolve(),
};

/** Dependencies on the real database; signing is a line of text, the same for both ways. */
export function createDeps(url: string): Deps {
  const sql = openDatabase(url);
  return {
    now: () => Date.now(),
    log: () => {},
    auth: {
      issuer: ISSUER,
      env: { url: PUBLIC_URL, publishableKeys: {}, secretKeys: {}, jwks: { keys: [publicJwk] } },
    },
    sql,
    recordFiles: FILES,
    chatFiles: FILES,
    keyRing: openKeyRing(KEY_VERSIONS),
    blindIndexKey: new Uint8Array(32).fill(9),
    // The product's limiter at its full cost, but with a bucket that a bench does not empty.
    rateLimiter: {
      take: (key, limit, context) =>
        postgresLimiter(sql).take(key, { ...limit, capacity: 1_000_000 }, context),
    },
    queue: createQueueReceiver(undefined),
    pseudonym: pseudonyms("bench"),
    allowedOrigins: ["*"],
    publicUrl: PUBLIC_URL,
  };
}

/** A patient of the population with a live session and a token for it. */
export async function person(
  sql: postgres.Sql,
  name: string,
): Promise<{ caller: Caller; token: string }> {
  const [row] = await sql`
    select md5(${name})::uuid as id, md5('s' || md5(${name})::uuid)::uuid as session_id`;
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    sub: row!.id as string,
    role: "authenticated",
    aud: "authenticated",
    iss: ISSUER,
    iat: now,
    exp: now + 900,
    session_id: row!.session_id as string,
    aal: "aal1",
  };
  const caller = { id: claims.sub, claims, request_id: "bench", ip: null, user_agent: null };
  return { caller, token: await sign(claims) };
}

/** A bundle of observations that no other turn has imported. */
function bundle(turn: number) {
  return {
    resourceType: "Bundle",
    type: "collection",
    entry: Array.from({ length: RESOURCES }, (_, i) => ({
      resource: {
        resourceType: "Observation",
        id: `bench-${turn}-${i}`,
        status: "final",
        code: {
          coding: [{ system: "http://loinc.org", code: "718-7", display: "Hemoglobin" }],
          text: "Hemoglobin [Mass/volume] in Blood",
        },
        effectiveDateTime: "2026-03-01T09:00:00+05:30",
        valueQuantity: {
          value: 10 + (i % 50) / 10,
          unit: "g/dL",
          system: "http://unitsofmeasure.org",
          code: "g/dL",
        },
      },
    })),
  };
}

/** The plain way: record and contents inserted one after the other, in one transaction. */
async function insertOneByOne(sql: postgres.Sql, patientId: string): Promise<void> {
  const { entry } = bundle(0);
  await sql.begin(async (tx) => {
    for (const { resource } of entry) {
      const [row] = await tx`
        insert into public.medical_records
          (patient_id, title, record_type, record_date, source, source_system, source_id)
        values (
          ${patientId}, ${resource.code.text}, 'observation', '2026-03-01', 'fhir', 'urn:bench',
          ${crypto.randomUUID()}
        )
        returning id`;
      await tx`
        insert into public.medical_record_contents (record_id, patient_id, sensitivity, fhir)
        values (${row!.id}, ${patientId}, 'normal', ${tx.json(resource)})`;
    }
  });
}
