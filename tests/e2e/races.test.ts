// Races: what many do at once, straight on the database, as the people themselves. All stand ready
// in transactions of their own before the first begins, so that they do meet.

import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { present } from "../support/auth.ts";
import {
  as,
  auditRows,
  inOrder,
  newRecord,
  people,
  race,
  type Racer,
  raceTest,
  runAs,
  RUNNERS,
  tally,
} from "../support/races.ts";

raceTest("of twenty answers to one request for care exactly one counts", async (db) => {
  const { patient, doctor, careId } = await newCare(db, "requested");

  const outcomes = await race(db, (n) =>
    as(patient, async (tx) => {
      await tx`select public.respond_care_request(${careId}, ${n % 2 === 0})`;
    }));

  assertEquals(tally(outcomes), { "ok": 1, "PT409 already_answered": 19 });
  const accepted = outcomes.indexOf("ok") % 2 === 0;
  assertEquals(await careOf(db, patient, doctor), [accepted ? "active" : "declined"]);
  assertEquals(await auditRows(db, patient, "update", "care_relationship"), 1);
});

raceTest("of twenty requests of one doctor exactly one is made", async (db) => {
  const [patient, doctor] = await people(db, "patient", "doctor");

  const outcomes = await race(db, () =>
    as(doctor, async (tx) => {
      await tx`select public.request_care(${patient.id}, 'doctor')`;
    }));

  assertEquals(tally(outcomes), { "ok": 1, "PT409 already_requested": 19 });
  assertEquals(await careOf(db, patient, doctor), ["requested"]);
});

raceTest("a caregiver who asks while being appointed has one relationship", async (db) => {
  const [patient, caregiver] = await people(db, "patient", "caregiver");

  const outcomes = await race(db, (n) =>
    n % 2 === 0
      ? as(patient, async (tx) => {
        await tx`select public.request_care(${caregiver.id}, 'caregiver', '{records}')`;
      })
      : as(caregiver, async (tx) => {
        await tx`select public.request_care(${patient.id}, 'caregiver', '{records}')`;
      }));

  assertEquals(tally(outcomes), { "ok": 1, "PT409 already_requested": 19 });
  const appointed = outcomes.indexOf("ok") % 2 === 0;
  assertEquals(await careOf(db, patient, caregiver), [appointed ? "active" : "requested"]);
});

raceTest("of twenty shares of one record with one account exactly one is made", async (db) => {
  // Often, since shares that wait for each other crosswise would do so by chance only.
  for (let round = 0; round < 10; round++) {
    const [patient, relative] = await people(db, "patient", "patient");
    const recordId = await newRecord(db, patient);

    const outcomes = await race(db, () =>
      as(patient, async (tx) => {
        await tx`select public.share_medical_record(
          ${recordId}, ${relative.id}, 'view', now() + interval '1 day')`;
      }));

    assertEquals(tally(outcomes), { "ok": 1, "PT409 already_shared": 19 });
    const shares = await db`
      select 1 from public.medical_record_shares where record_id = ${recordId}`;
    assertEquals(shares.length, 1);
  }
});

raceTest("twenty shares of one record with twenty accounts are all made", async (db) => {
  const [patient] = await people(db, "patient");
  const relatives = await people(
    db,
    ...Array.from({ length: RUNNERS }, () => "patient" as const),
  );
  const recordId = await newRecord(db, patient);

  const outcomes = await race(db, (n) =>
    as(patient, async (tx) => {
      await tx`select public.share_medical_record(
          ${recordId}, ${present(relatives[n]).id}, 'view', now() + interval '1 day')`;
    }));

  assertEquals(tally(outcomes), { "ok": RUNNERS });
});

raceTest("twenty imports of the same resources bring each in once", async (db) => {
  const { patient, doctor } = await newCare(db, "active");
  await runAs(db, doctor, (tx) => tx`select public.open_chart(${patient.id}, 'treatment')`);
  const rows = JSON.stringify(Array.from({ length: 50 }, (_, n) => ({
    source_id: `Observation/${n}`,
    record_type: "observation",
    title: `Observation ${n}`,
    sensitivity: "normal",
    fhir: { resourceType: "Observation", id: String(n) },
  })));

  const counts: Record<string, number> = {};
  const outcomes = await race(db, (n) =>
    as(n % 2 === 0 ? patient : doctor, async (tx) => {
      const answered = await tx<{ outcome: string }[]>`
          select outcome from private.import_records(
            ${patient.id}, 'https://h.example', null, ${rows}::text::jsonb)`;
      for (const { outcome } of answered) counts[outcome] = (counts[outcome] ?? 0) + 1;
    }));

  assertEquals(tally(outcomes), { "ok": RUNNERS });
  assertEquals(counts, { imported: 50, unchanged: 50 * (RUNNERS - 1) });
  const [found] = await db`
      select count(*)::int as records, count(distinct r.source_id)::int as ids,
        count(c.record_id)::int as contents
      from public.medical_records as r
      left join public.medical_record_contents as c on c.record_id = r.id
      where r.patient_id = ${patient.id}`;
  assertEquals({ ...found }, { records: 50, ids: 50, contents: 50 });
});

raceTest("no chart outlives the care that ends while it is opened", async (db) => {
  for (let round = 0; round < 5; round++) {
    const { patient, doctor, careId } = await newCare(db, "active");
    await newRecord(db, patient);

    const outcomes = await race(db, (n) =>
      n === RUNNERS / 2
        ? as(patient, async (tx) => {
          await tx`select public.end_care(${careId})`;
        })
        : as(doctor, async (tx) => {
          await tx`select public.open_chart(${patient.id}, 'treatment')`;
        }));

    const { ok = 0, "PT404 not_found": refused = 0 } = tally(outcomes);
    assertEquals(ok + refused, RUNNERS);
    assertEquals(outcomes[RUNNERS / 2], "ok");
    assertEquals(await openCharts(db, doctor), 0);
    assertEquals(await recordsSeen(db, doctor), 0);
  }
});

raceTest(
  "care that is ending waits for the chart that is being opened, and closes it",
  async (db) => {
    const { patient, doctor, careId } = await newCare(db, "active");

    const [first, second] = await inOrder(
      db,
      as(doctor, async (tx) => {
        await tx`select public.open_chart(${patient.id}, 'treatment')`;
      }),
      as(patient, async (tx) => {
        await tx`select public.end_care(${careId})`;
      }),
    );

    assertEquals([first, second], ["ok", "ok"]);
    assertEquals(await openCharts(db, doctor), 0);
  },
);

raceTest(
  "a chart that is being opened waits for the care that is ending, and stays shut",
  async (db) => {
    const { patient, doctor, careId } = await newCare(db, "active");

    const [first, second] = await inOrder(
      db,
      as(patient, async (tx) => {
        await tx`select public.end_care(${careId})`;
      }),
      as(doctor, async (tx) => {
        await tx`select public.open_chart(${patient.id}, 'treatment')`;
      }),
    );

    assertEquals([first, second], ["ok", "PT404 not_found"]);
    assertEquals(await openCharts(db, doctor), 0);
  },
);

raceTest("twenty openings of one chart leave one open", async (db) => {
  const { patient, doctor } = await newCare(db, "active");

  const outcomes = await race(db, () =>
    as(doctor, async (tx) => {
      await tx`select public.open_chart(${patient.id}, 'treatment')`;
    }));

  assertEquals(tally(outcomes), { "ok": RUNNERS });
  assertEquals(await openCharts(db, doctor), 1);
  assertEquals(await auditRows(db, patient, "open_chart", "chart_session"), RUNNERS);
});

raceTest(
  "whatever is withdrawn bites on the next statement of a transaction that runs",
  async (db) => {
    const withdrawals: Record<string, (who: Cast) => postgres.PendingQuery<postgres.Row[]>> = {
      "the session": ({ doctor }) => db`delete from auth.sessions where id = ${doctor.sessionId}`,
      "the account": ({ doctor }) =>
        db`update public.profiles set is_active = false where id = ${doctor.id}`,
      "the verification": ({ doctor }) =>
        db`update public.doctors set verified_at = null where id = ${doctor.id}`,
      "the care": ({ careId }) =>
        db`
          update public.care_relationships set status = 'ended', ends_at = now()
          where id = ${careId}`,
      "the chart": ({ doctor }) =>
        db`update public.chart_sessions set closed_at = now() where viewer_id = ${doctor.id}`,
    };
    for (const [what, withdraw] of Object.entries(withdrawals)) {
      const cast = await newCare(db, "active");
      await newRecord(db, cast.patient);
      await runAs(
        db,
        cast.doctor,
        (tx) => tx`select public.open_chart(${cast.patient.id}, 'treatment')`,
      );

      await runAs(db, cast.doctor, async (tx) => {
        const count = () =>
          tx`select id from public.medical_records where patient_id = ${cast.patient.id}`;
        assertEquals((await count()).length, 1, `before ${what} is withdrawn`);
        await withdraw(cast);
        assertEquals((await count()).length, 0, `after ${what} is withdrawn`);
      });
    }
  },
);

raceTest(
  "twenty grants of one capability, and twenty requests for verification, are one",
  async (db) => {
    const [admin, person] = await people(db, "admin", "patient");

    const grants = await race(db, () =>
      as(admin, async (tx) => {
        await tx`select public.grant_account(${person.id}, 'seller')`;
      }));
    const requests = await race(db, (n) =>
      as(person, async (tx) => {
        await tx`select public.request_doctor_verification(${`KA-${100 + n}`}, 'Oncology')`;
      }));

    assertEquals(tally(grants), { "ok": RUNNERS });
    assertEquals(tally(requests), { "ok": RUNNERS });
    const [made] = await db`
      select
        (select count(*)::int from public.account_grants where user_id = ${person.id}) as grants,
        (select count(*)::int from public.doctors where id = ${person.id}) as doctors`;
    assertEquals({ ...made }, { grants: 1, doctors: 1 });
  },
);

raceTest(
  "contradictory decisions on one doctor leave account and verification in step",
  async (db) => {
    const [admin, person] = await people(db, "admin", "patient");
    await runAs(
      db,
      person,
      (tx) => tx`select public.request_doctor_verification('KA-1', 'Oncology')`,
    );

    const outcomes = await race(db, (n) =>
      as(admin, async (tx) => {
        await tx`select public.verify_doctor(${person.id}, ${n % 2 === 0}, 'Licence')`;
      }));

    assertEquals(tally(outcomes), { "ok": RUNNERS });
    const [row] = await db`
      select p.is_verified, d.verified_at is not null as verified,
        d.rejected_reason is null as clear
      from public.profiles as p join public.doctors as d on d.id = p.id where p.id = ${person.id}`;
    const { is_verified, verified, clear } = present(row);
    assertEquals({ verified, clear }, { verified: is_verified, clear: is_verified });
  },
);

raceTest("of two hundred requests at once a bucket of fifty grants fifty", async (db) => {
  const key = `race ${crypto.randomUUID()}`;
  let granted = 0;
  const remaining = new Set<number>();

  const rounds = Array.from({ length: 200 / RUNNERS }, () =>
    race(db, () => ({
      claims: {},
      role: "rate_limit_worker",
      work: async (tx) => {
        const [token] = await tx`select * from private.take_rate_token(${key}, 50, 86400)`;
        if (!present(token).allowed) return;
        granted++;
        remaining.add(present(token).remaining);
      },
    })));
  const outcomes = (await Promise.all(rounds)).flat();

  assertEquals(tally(outcomes), { "ok": 200 });
  assertEquals(granted, 50);
  assertEquals(remaining.size, 50, "each token is given once");
});

// People and what they have -----------------------------------------------------------------------

interface Cast {
  patient: Racer;
  doctor: Racer;
  careId: string;
}

/** A patient and a doctor, between whom there is care or a request for it. */
async function newCare(db: postgres.Sql, status: "requested" | "active"): Promise<Cast> {
  const [patient, doctor] = await people(db, "patient", "doctor");
  const asker = status === "requested" ? doctor : patient;
  const other = status === "requested" ? patient : doctor;
  const rows = await runAs(
    db,
    asker,
    (tx) => tx`select public.request_care(${other.id}, 'doctor') as id`,
  );
  return { patient, doctor, careId: present(rows[0]).id };
}

// Looking -----------------------------------------------------------------------------------------

async function careOf(db: postgres.Sql, patient: Racer, member: Racer): Promise<string[]> {
  const rows = await db`
    select status from public.care_relationships
    where patient_id = ${patient.id} and member_id = ${member.id}`;
  return rows.map(({ status }) => status);
}

/** Rows of openings that have neither been closed nor expired. */
async function openCharts(db: postgres.Sql, viewer: Racer): Promise<number> {
  const rows = await db`
    select 1 from public.chart_sessions
    where viewer_id = ${viewer.id} and closed_at is null and expires_at > now()`;
  return rows.length;
}

async function recordsSeen(db: postgres.Sql, person: Racer): Promise<number> {
  return (await runAs(db, person, (tx) => tx`select id from public.medical_records`)).length;
}
