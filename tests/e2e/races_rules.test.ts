// Races between a change and whatever must not slip past it: each is held open, uncommitted, while
// the other arrives.

import { assertEquals } from "@std/assert";
import postgres from "postgres";
import { present } from "../support/auth.ts";
import { testEnv } from "../support/env.ts";
import {
  as,
  inOrder,
  people,
  race,
  type Racer,
  raceTest,
  runAs,
  type Runner,
  RUNNERS,
  tally,
} from "../support/races.ts";

raceTest("an import never takes a mark back that is set while it runs", async (db) => {
  const [patient] = await people(db, "patient");
  await race(db, () => imports(patient, "a"), 1);

  const outcomes = await inOrder(
    db,
    as(patient, async (tx) => {
      await tx`update public.medical_records set sensitivity = 'sensitive'`;
    }),
    imports(patient, "b"),
  );

  assertEquals(outcomes, ["ok", "ok"]);
  const [row] = await db`
    select r.title, r.sensitivity, c.sensitivity as copy
    from public.medical_records as r
    join public.medical_record_contents as c on c.record_id = r.id
    where r.patient_id = ${patient.id}`;
  assertEquals({ ...row }, { title: "b", sensitivity: "sensitive", copy: "sensitive" });
});

raceTest(
  "imports and shares of one patient's records never wait for each other in a ring",
  async (db) => {
    const [patient, ...relatives] = await people(
      db,
      "patient",
      ...Array(RUNNERS).fill("caregiver"),
    );
    await race(db, () => imports(patient, "a"), 1);
    const [record] = await db`
    select id from public.medical_records where patient_id = ${patient.id}`;
    const shares = (relative: Racer) =>
      as(patient, async (tx) => {
        await tx`
        select public.share_medical_record(
          ${record?.id}, ${relative.id}, 'view', now() + interval '1 day')`;
      });

    const outcomes = await race(
      db,
      (n) => n % 2 === 0 ? imports(patient, `title ${n}`) : shares(relatives[n]!),
    );

    assertEquals(tally(outcomes), { "ok": RUNNERS });
  },
);

const CHANGES: Record<string, (patient: Racer, recordId: string) => Runner> = {
  "marked sensitive": (patient, recordId) =>
    as(patient, async (tx) => {
      await tx`
        update public.medical_records set sensitivity = 'sensitive' where id = ${recordId}`;
    }),
  "deleted": (patient, recordId) =>
    as(patient, async (tx) => {
      await tx`select public.delete_medical_record(${recordId})`;
    }),
};
for (const [what, change] of Object.entries(CHANGES)) {
  raceTest(`contents written while their record is ${what} never differ from it`, async (db) => {
    const [patient] = await people(db, "patient");
    const recordId = await newRecord(db, patient);
    const writes = as(patient, async (tx) => {
      await tx`
        insert into public.medical_record_contents (record_id, description)
        values (${recordId}, 'x')`;
    });

    const [first, second] = await inOrder(db, change(patient, recordId), writes);

    const refusal =
      '42501 new row violates row-level security policy for table "medical_record_contents"';
    assertEquals([first, second], ["ok", what === "deleted" ? refusal : "ok"]);
    const differing = await db`
      select 1 from public.medical_records as r
      join public.medical_record_contents as c on c.record_id = r.id
      where r.id = ${recordId}
        and (r.sensitivity, r.deleted_at) is distinct from (c.sensitivity, c.deleted_at)`;
    assertEquals(differing.length, 0, "a copy differs from its record");
  });

  raceTest(`a record that is ${what} waits for its contents, and marks them`, async (db) => {
    const [patient] = await people(db, "patient");
    const recordId = await newRecord(db, patient);
    const writes = as(patient, async (tx) => {
      await tx`
        insert into public.medical_record_contents (record_id, description)
        values (${recordId}, 'x')`;
    });

    assertEquals(await inOrder(db, writes, change(patient, recordId)), ["ok", "ok"]);

    const [same] = await db`
      select r.sensitivity = c.sensitivity and r.deleted_at is not distinct from c.deleted_at as same
      from public.medical_records as r
      join public.medical_record_contents as c on c.record_id = r.id where r.id = ${recordId}`;
    assertEquals(same?.same, true);
  });
}

for (const closer of ["patient", "recipient"] as const) {
  raceTest(`no share outlives the closing of its ${closer}'s account`, async (db) => {
    const [patient, recipient] = await people(db, "patient", "patient");
    const recordId = await newRecord(db, patient);
    const shares = as(patient, async (tx) => {
      await tx`select public.share_medical_record(
        ${recordId}, ${recipient.id}, 'view', now() + interval '1 day')`;
    });
    const closes = closesAccount(closer === "patient" ? patient : recipient);

    assertEquals(await inOrder(db, shares, closes), ["ok", "ok"]);

    const live = await db`
      select 1 from public.medical_record_shares
      where record_id = ${recordId} and revoked_at is null`;
    assertEquals(live.length, 0);
  });
}

raceTest("an account that is closing is shared nothing", async (db) => {
  const [patient, recipient] = await people(db, "patient", "patient");
  const recordId = await newRecord(db, patient);

  const outcomes = await inOrder(
    db,
    closesAccount(recipient),
    as(patient, async (tx) => {
      await tx`select public.share_medical_record(
        ${recordId}, ${recipient.id}, 'view', now() + interval '1 day')`;
    }),
  );

  assertEquals(outcomes, ["ok", "PT404 not_found"]);
});

for (const closer of ["patient", "doctor"] as const) {
  raceTest(`no care is left open when its ${closer} closes the account meanwhile`, async (db) => {
    const [patient, doctor] = await people(db, "patient", "doctor");
    const asks = as(patient, async (tx) => {
      await tx`select public.request_care(${doctor.id}, 'doctor')`;
    });
    const closes = closesAccount(closer === "patient" ? patient : doctor);

    assertEquals(await inOrder(db, asks, closes), ["ok", "ok"]);

    const open = await db`
      select status from public.care_relationships
      where patient_id = ${patient.id} and status in ('requested', 'active')`;
    assertEquals(open.length, 0);
  });
}

raceTest("closing an account and opening its chart never wait for each other", async (db) => {
  for (let round = 0; round < 15; round++) {
    const [patient, doctor] = await people(db, "patient", "doctor");
    await runAs(db, patient, (tx) => tx`select public.request_care(${doctor.id}, 'doctor')`);
    const opens = as(doctor, async (tx) => {
      await tx`select public.open_chart(${patient.id}, 'treatment')`;
    });
    await race(db, () => opens, 1);

    const outcomes = await race(
      db,
      (n) => n === RUNNERS / 2 ? closesAccount(patient) : opens,
    );

    const { ok = 0, "PT404 not_found": absent = 0 } = tally(outcomes);
    assertEquals([outcomes[RUNNERS / 2], ok + absent], ["ok", RUNNERS]);
    const open = await db`
      select 1 from public.chart_sessions
      where patient_id = ${patient.id} and closed_at is null and expires_at > now()`;
    assertEquals(open.length, 0, "a chart is left open");
  }
});

const { adminUrl } = testEnv();
Deno.test({
  name: "of twenty wrong passwords tried at once five are answered (embedded stack)",
  ignore: !adminUrl,
  fn: async () => {
    const admin = postgres(present(adminUrl), { max: RUNNERS + 5, onnotice: () => {} });
    try {
      const [person] = await people(admin, "patient");
      const event = JSON.stringify({ user_id: person.id, valid: false });
      const decisions: string[] = [];
      const tries: Runner = {
        claims: {},
        role: "supabase_auth_admin",
        work: async (tx) => {
          const [row] = await tx`
            select private.limit_sign_in_attempts(${event}::text::jsonb) ->> 'decision' as decision`;
          decisions.push(present(row).decision);
        },
      };

      const outcomes = await race(admin, () => tries);

      assertEquals(tally(outcomes), { "ok": RUNNERS });
      assertEquals(tally(decisions), { "continue": 5, "reject": RUNNERS - 5 });
    } finally {
      await admin.end();
    }
  },
});

raceTest(
  "jobs that make the same partitions at once do not get in each other's way",
  async (db) => {
    // Of a table of their own, that the trail keeps its months.
    await db`create table public.race_events (at timestamptz not null) partition by range (at)`;
    try {
      const makes: Runner = {
        claims: {},
        role: "postgres",
        work: async (tx) => {
          await tx`select private.ensure_month_partitions('public.race_events', 12)`;
        },
      };
      assertEquals(tally(await race(db, () => makes)), { "ok": RUNNERS });
      const [made] = await db`
      select count(*)::int as count from pg_inherits
      where inhparent = 'public.race_events'::regclass`;
      assertEquals(made?.count, 13);
    } finally {
      await db`drop table public.race_events`;
    }
  },
);

// What they do ------------------------------------------------------------------------------------

/** An import of one condition, whose title it is. */
function imports(patient: Racer, title: string): Runner {
  const rows = JSON.stringify([{
    source_id: "Condition/1",
    record_type: "condition",
    title,
    sensitivity: "normal",
    fhir: { resourceType: "Condition", id: "1", title },
  }]);
  return as(patient, async (tx) => {
    await tx`
      select * from private.import_records(
        ${patient.id}, 'https://h.example', null, ${rows}::text::jsonb)`;
  });
}

function closesAccount(person: Racer): Runner {
  return as(person, async (tx) => {
    await tx`select public.close_account()`;
  });
}

async function newRecord(db: postgres.Sql, patient: Racer): Promise<string> {
  const rows = await runAs(db, patient, (tx) =>
    tx`
      insert into public.medical_records (patient_id, title, record_type)
      values (${patient.id}, 'Scan', 'imaging')
      returning id`);
  return present(rows[0]).id;
}
