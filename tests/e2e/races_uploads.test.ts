// Races about the files of records: one file a record, one end an upload, and nothing that changes
// while a file is read goes unseen.

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
  type Runner,
  RUNNERS,
  tally,
  type Work,
} from "../support/races.ts";

raceTest("of twenty files uploaded for one record exactly one becomes its file", async (db) => {
  const [patient] = await people(db, "patient");
  const recordId = await newRecord(db, patient);
  const uploads: string[] = [];
  const paths: string[] = [];

  const announced = await race(db, (n) =>
    as(patient, async (tx) => {
      const [upload] = await tx`
        select upload_id, storage_path from private.begin_record_upload(
          ${recordId}, ${`file${n}.txt`}, 'text/plain', 1, ${"a".repeat(64)})`;
      uploads[n] = present(upload).upload_id;
      paths[n] = present(upload).storage_path;
    }));
  for (const path of paths) await putObject(db, path);
  const completed = await race(db, (n) => completesUpload(patient, present(uploads[n])));

  assertEquals(tally(announced), { "ok": RUNNERS });
  assertEquals(tally(completed), { "ok": 1, "PT409 already_uploaded": 19 });
  const winner = completed.indexOf("ok");
  const [file] = await db`
      select r.file_name, u.id from public.medical_records as r
      join public.medical_record_contents as c on c.record_id = r.id
      join private.record_uploads as u on u.storage_path = c.storage_path
      where r.id = ${recordId}`;
  assertEquals({ ...file }, { file_name: `file${winner}.txt`, id: uploads[winner] });
});

raceTest("twenty completions of one upload are one", async (db) => {
  const [patient] = await people(db, "patient");
  const recordId = await newRecord(db, patient);
  const uploadId = await uploadedFile(db, patient, recordId);

  const outcomes = await race(db, () => completesUpload(patient, uploadId));

  assertEquals(tally(outcomes), { "ok": RUNNERS });
  assertEquals(await auditRows(db, patient, "upload_file", "medical_record"), 1);
});

raceTest("an upload is completed or rejected, never both, whoever comes first", async (db) => {
  const [patient] = await people(db, "patient");
  for (let round = 0; round < 5; round++) {
    const recordId = await newRecord(db, patient);
    const uploadId = await uploadedFile(db, patient, recordId);
    const removable: boolean[] = [];

    const outcomes = await race(db, (n) =>
      n % 2 === 0 ? completesUpload(patient, uploadId) : {
        ...completesUpload(patient, uploadId),
        work: async (tx) => {
          const [row] = await tx`select private.reject_record_upload(${uploadId}) as is_rejected`;
          removable.push(present(row).is_rejected);
        },
      });

    const [row] = await db`
      select completed_at is not null as is_completed from private.record_uploads
      where id = ${uploadId}`;
    const { is_completed } = present(row);
    assertEquals(new Set(removable), new Set([!is_completed]), "who may remove the object");
    assertEquals(
      tally(outcomes),
      is_completed ? { "ok": RUNNERS } : { "ok": 10, "PT409 upload_missing": 10 },
    );
  }
});

raceTest("a record that is deleted while its file is read gets none", async (db) => {
  const [patient] = await people(db, "patient");
  const recordId = await newRecord(db, patient);
  const uploadId = await uploadedFile(db, patient, recordId);
  const deletes = as(patient, async (tx) => {
    await tx`select public.delete_medical_record(${recordId})`;
  });

  const outcomes = await inOrder(db, deletes, completesUpload(patient, uploadId));

  assertEquals(outcomes, ["ok", "PT404 not_found"]);
  const [record] = await db`select file_name from public.medical_records where id = ${recordId}`;
  assertEquals({ ...record }, { file_name: null });
});

raceTest("an object that is replaced while it is taken over is not the file", async (db) => {
  const [patient] = await people(db, "patient");
  const recordId = await newRecord(db, patient);
  const uploadId = await uploadedFile(db, patient, recordId);
  const replaces: Runner = {
    claims: {},
    role: "postgres",
    work: async (tx) => {
      await tx`
        update storage.objects as o set version = 'v2'
        from private.record_uploads as u where u.id = ${uploadId} and o.name = u.storage_path`;
    },
  };

  const outcomes = await inOrder(db, replaces, completesUpload(patient, uploadId));

  assertEquals(outcomes, ["ok", "PT409 upload_missing"]);
});

/** What Storage does for an upload, without bytes. */
async function putObject(db: postgres.Sql, path: string): Promise<void> {
  await db`
    insert into storage.objects (bucket_id, name, version) values ('medical-records', ${path}, 'v1')`;
}

/** A file that was announced for a record and uploaded; answers the upload's id. */
async function uploadedFile(db: postgres.Sql, patient: Racer, recordId: string): Promise<string> {
  const rows = await runAs(
    db,
    patient,
    (tx) =>
      tx`select upload_id, storage_path from private.begin_record_upload(
        ${recordId}, 'file.txt', 'text/plain', 1, ${"a".repeat(64)})`,
  );
  const { upload_id, storage_path } = present(rows[0]);
  await putObject(db, storage_path);
  return upload_id;
}

/** The worker that has checked an upload of somebody. */
function completesUpload(person: Racer, uploadId: string): Runner {
  const { claims } = as(person, async () => {});
  const work: Work<void> = async (tx) => {
    await tx`select private.complete_record_upload(${uploadId}, 'v1')`;
  };
  return { claims, role: "records_worker", work };
}
