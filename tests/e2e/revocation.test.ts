// Revocation, timed: whatever ends a right to a patient's record, the token that is still valid
// gets nothing by the very next request, through the data API, RPC and functions; an address that
// was signed before is dead within 60 seconds of being issued.

import { assert, assertEquals } from "@std/assert";
import { decodeJwt } from "jose";
import { sampleFile } from "../fixtures/files.ts";
import { type Person, present, tokenOf } from "../support/auth.ts";
import {
  databaseTest,
  must,
  newCaregiver,
  newDoctor,
  newPatient,
  openChart,
  startCare,
  theAdmin,
  withDatabase,
} from "../support/people.ts";
import { newRecord, share, upload } from "../support/records.ts";
import { type Answer, refusalOf, send } from "../support/requests.ts";

/** Seconds that a signed address may live. */
const ADDRESS_LIVES = 60;

/** Ids of the rows on which a viewer's right stands. */
interface Ground {
  careId?: string;
  chartId?: string;
  shareId?: string;
}

/** A viewer whose right ends, and by what. */
interface Ending {
  what: string;
  stands: (scene: Scene) => Promise<{ viewer: Person; ground: Ground }>;
  end: (scene: Scene, viewer: Person, ground: Ground) => PromiseLike<unknown>;
  /** What the viewer's requests are told: who is not signed in is; others find nothing. */
  refused: "401 unauthenticated" | "404 not_found";
  /** Whether the encrypted fields of the registry row came and went with the record. */
  hasIdentity: boolean;
}

/** One patient, one record with a file. */
interface Scene {
  patient: Person;
  record: string;
}

async function asDoctor({ patient }: Scene) {
  const viewer = await newDoctor();
  const careId = await startCare(viewer, patient);
  return { viewer, ground: { careId, chartId: await openChart(viewer, patient) } };
}

async function asCaregiver({ patient }: Scene) {
  const viewer = await newCaregiver();
  const careId = await must(patient.client.rpc("request_care", {
    ...{ p_member_or_patient_id: viewer.id, p_kind: "caregiver", p_scopes: ["records"] },
  }));
  const p_purpose = "delegated";
  await must(viewer.client.rpc("open_chart", { p_patient_id: patient.id, p_purpose }));
  return { viewer, ground: { careId } };
}

async function byShare({ patient, record }: Scene) {
  const viewer = await newCaregiver("Ravi Relative");
  return {
    viewer,
    ground: { shareId: await share(patient, record, viewer, { level: "download" }) },
  };
}

const OF_DOCTOR = { stands: asDoctor, refused: "404 not_found", hasIdentity: true } as const;
const BY_SHARE = { stands: byShare, refused: "404 not_found", hasIdentity: false } as const;
const SIGNED_OUT = { refused: "401 unauthenticated" } as const;

const ENDINGS: Ending[] = [
  {
    ...{ what: "signed out", ...OF_DOCTOR, ...SIGNED_OUT },
    end: (_, viewer) => viewer.client.auth.signOut(),
  },
  {
    ...{ what: "account locked", ...OF_DOCTOR, ...SIGNED_OUT },
    end: async (_, { id }) =>
      await must((await theAdmin()).client.rpc("set_account_active", {
        ...{ p_user_id: id, p_active: false, p_reason: "A report is looked into" },
      })),
  },
  {
    // No request changes a role; a database administrator does.
    ...{ what: "role withdrawn", ...OF_DOCTOR },
    end: (_, { id }) =>
      withDatabase((sql) => sql`update public.profiles set role = 'patient' where id = ${id}`),
  },
  {
    ...{ what: "verification withdrawn", ...OF_DOCTOR },
    end: async (_, { id }) =>
      await must((await theAdmin()).client.rpc("verify_doctor", {
        ...{ p_user_id: id, p_approve: false, p_reason: "The licence has lapsed" },
      })),
  },
  {
    ...{ what: "care ended", ...OF_DOCTOR },
    end: async ({ patient }, _, { careId }) =>
      await must(patient.client.rpc("end_care", { p_id: careId })),
  },
  {
    ...{ what: "scope narrowed", ...OF_DOCTOR, stands: asCaregiver },
    end: async ({ patient }, _, { careId }) =>
      await must(patient.client.rpc("set_care_scopes", {
        ...{ p_id: careId, p_scopes: ["appointments"] },
      })),
  },
  {
    ...{ what: "share revoked", ...BY_SHARE },
    end: async ({ patient }, _, { shareId }) =>
      await must(patient.client.rpc("revoke_record_share", { p_id: shareId })),
  },
  {
    // Its time comes; tests do not wait for it.
    ...{ what: "share expired", ...BY_SHARE },
    end: (_, __, { shareId }) =>
      withDatabase((sql) =>
        sql`update public.medical_record_shares set expires_at = now() where id = ${
          present(shareId)
        }`
      ),
  },
  {
    ...{ what: "chart closed", ...OF_DOCTOR },
    end: async (_, viewer, { chartId }) =>
      await must(viewer.client.rpc("close_chart", { p_id: chartId })),
  },
  {
    ...{ what: "chart idle", ...OF_DOCTOR },
    end: (_, __, { chartId }) =>
      withDatabase((sql) =>
        sql`update public.chart_sessions set last_used_at = now() - interval '15 minutes'
          where id = ${present(chartId)}`
      ),
  },
];

/** The ways to the record, each one request; answers what came: rows, or status and code. */
type Way = "rows" | "rpc" | "function" | "identity";

function request(way: Way, token: string, { patient, record }: Scene): Promise<Answer> {
  const post = (path: string, body: unknown) =>
    send(path, { method: "POST", token, body: JSON.stringify(body) });
  switch (way) {
    case "rows":
      return send(`/rest/v1/medical_records?id=eq.${record}&select=id`, { token });
    case "rpc":
      return post("/rest/v1/rpc/open_medical_record", { p_record_id: record });
    case "function":
      return post(`/functions/v1/records/${record}/download-url`, {});
    case "identity":
      return post("/functions/v1/identity/patients/read", { patient_ids: [patient.id] });
  }
}

function told(way: Way, answer: Answer): string {
  if (answer.status !== 200) return refusalOf(answer).join(" ");
  if (way === "rows") return `${answer.body.length} rows`;
  if (way === "identity") return `${answer.body.data.length} rows`;
  return "200";
}

/** An address that was signed before the right to it ended. */
interface Address {
  what: string;
  url: string;
  issuedAt: number;
  /** Start of the last request that it still answered. */
  aliveAt: number;
  isDead: boolean;
}

/** Fetches the file once, and notes whether that still goes. */
async function tryAddress(address: Address): Promise<void> {
  const startedAt = Date.now();
  const response = await fetch(address.url);
  await response.body?.cancel();
  if (response.ok) address.aliveAt = startedAt;
  else address.isDead = true;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

databaseTest(
  "whatever ends a right bites on the next request, and on signed addresses within 60 s",
  async (t) => {
    const patient = await newPatient();
    const scene = { patient, record: await newRecord(patient, patient.id) };
    const sample = await sampleFile("text/plain");
    assertEquals((await upload(patient, scene.record, sample)).status, 200);
    const addresses: Address[] = [];
    const report = new Map<string, string>();

    for (const { what, stands, end, refused, hasIdentity } of ENDINGS) {
      await t.step(`${what}: rows, RPC and functions refuse the next request`, async () => {
        const { viewer, ground } = await stands(scene);
        const token = await tokenOf(viewer.client);
        const ways: Way[] = [
          "rows",
          "rpc",
          "function",
          ...hasIdentity ? ["identity" as const] : [],
        ];
        for (const way of ways) {
          const answer = await request(way, token, scene);
          const expected = way === "rows" || way === "identity" ? "1 rows" : "200";
          assertEquals(told(way, answer), expected, `${what}: ${way} before`);
          if (way !== "function") continue;
          const { url } = answer.body.data;
          const issuedAt = Date.now();
          const claims = decodeJwt(present(new URL(url).searchParams.get("token")));
          const expiresAt = present(claims.exp) * 1000;
          assert(expiresAt - issuedAt <= ADDRESS_LIVES * 1000, `${what}: lives until ${expiresAt}`);
          const address = { what, url, issuedAt, aliveAt: 0, isDead: false };
          await tryAddress(address);
          assertEquals(address.isDead, false, `${what}: the address gives the file before`);
          addresses.push(address);
        }

        await end(scene, viewer, ground);

        const endedAt = performance.now();
        // All at once, so that each is the first request that reaches its part of the stack.
        const after = await Promise.all(ways.map(async (way) => {
          const answer = told(way, await request(way, token, scene));
          return { way, answer, ms: Math.round(performance.now() - endedAt) };
        }));
        const times = after.map(({ way, ms }) => `${way} ${ms} ms`);
        report.set(what, times.join(", "));
        assertEquals(
          after.map(({ way, answer }) => `${way}: ${answer}`),
          ways.map((way) => {
            // Not signed in, one is told so, but for rows, of which there are none.
            const isList = way === "rows" || way === "identity" && refused === "404 not_found";
            return `${way}: ${isList ? "0 rows" : refused}`;
          }),
          what,
        );
        // The token is as valid as before: it is the right that has gone.
        assert(present(decodeJwt(token).exp) * 1000 > Date.now(), `${what}: the token is valid`);
      });
    }

    await t.step("every address that was signed before is dead within 60 s", async () => {
      assertEquals(addresses.length, ENDINGS.length);
      const deadline = Math.max(...addresses.map(({ issuedAt }) => issuedAt)) +
        (ADDRESS_LIVES + 30) * 1000;
      while (addresses.some(({ isDead }) => !isDead) && Date.now() < deadline) {
        await sleep(500);
        await Promise.all(addresses.filter(({ isDead }) => !isDead).map(tryAddress));
      }
      for (const { what, isDead, issuedAt, aliveAt } of addresses) {
        assert(isDead, `${what}: the address still gives the file`);
        const lived = aliveAt - issuedAt;
        assert(lived <= ADDRESS_LIVES * 1000, `${what}: the address lived for ${lived} ms`);
      }
    });
    for (const { what, issuedAt, aliveAt } of addresses) {
      const seconds = ((aliveAt - issuedAt) / 1000).toFixed(1);
      console.log(`${what}: ${report.get(what)}; storage until ${seconds} s after the issue`);
    }
  },
);
