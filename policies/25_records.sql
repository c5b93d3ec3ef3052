-- Who may do what to records. No row here: not allowed.
--   medical_records          authenticated  select  own (deleted ones too), of open charts, shared ones
--   medical_records          authenticated  insert  own; a doctor, under an open chart
--   medical_records          authenticated  update  own; a doctor, those they added, chart open:
--                                                   title, record_type, record_date, sensitivity
--   medical_record_contents  authenticated  select  own, of open charts, and of shared records that
--                                                   the caller has opened (open_medical_record)
--   medical_record_contents  authenticated  insert  as for update of the record
--   medical_record_contents  authenticated  update  as for update of the record: description, metadata
--   medical_record_shares    authenticated  select  of own records; live ones with oneself
--   storage avatars          authenticated  select, insert, update, delete  below one's own folder;
--                                                   anonymous accounts add none
--   storage medical-records  nobody; the function `records` signs each transfer after it is logged
-- Shares are written by RPC; records are deleted and restored by RPC.

alter table public.medical_records enable row level security;
revoke all on table public.medical_records from public, anon, authenticated, service_role;
grant select on table public.medical_records to authenticated;
grant insert (patient_id, title, record_type, record_date, sensitivity)
  on table public.medical_records to authenticated;
grant update (title, record_type, record_date, sensitivity)
  on table public.medical_records to authenticated;

-- The first condition is implied by the second, while the session is live: it is there for the
-- planner, which with it reads a listing of one patient in the order of its index, and finds the rows
-- of an unfiltered listing by index, too.
create policy medical_records_select_authenticated on public.medical_records
  for select to authenticated
  using (
    patient_id = any (array(select private.reachable_patient_ids()))
    and (
      patient_id = (select auth.uid())
      or (
        deleted_at is null
        and (
          id = any (array(select private.shared_record_ids()))
          or (
            patient_id = any (array(select private.chart_patient_ids('records')))
            and (
              sensitivity = 'normal'
              or patient_id = any (array(select private.chart_patient_ids('sensitive')))
            )
          )
        )
      )
    )
  );

create policy medical_records_insert_authenticated on public.medical_records
  for insert to authenticated
  with check (
    (select private.session_is_live())
    and (
      patient_id = (select auth.uid())
      or patient_id = any (array(select private.treated_patient_ids()))
    )
  );

create policy medical_records_update_authenticated on public.medical_records
  for update to authenticated
  using (
    (select private.session_is_live())
    and deleted_at is null
    and (
      patient_id = (select auth.uid())
      or (
        created_by = (select auth.uid())
        and patient_id = any (array(select private.treated_patient_ids()))
      )
    )
  )
  with check (
    (select private.session_is_live())
    and (
      patient_id = (select auth.uid())
      or (
        created_by = (select auth.uid())
        and patient_id = any (array(select private.treated_patient_ids()))
      )
    )
  );

alter table public.medical_record_contents enable row level security;
revoke all on table public.medical_record_contents from public, anon, authenticated, service_role;
grant select on table public.medical_record_contents to authenticated;
grant insert (record_id, description, metadata)
  on table public.medical_record_contents to authenticated;
grant update (description, metadata) on table public.medical_record_contents to authenticated;

create policy medical_record_contents_select_authenticated on public.medical_record_contents
  for select to authenticated
  using (
    (select private.session_is_live())
    and (
      patient_id = (select auth.uid())
      or (
        deleted_at is null
        and (
          record_id = any (array(select private.opened_record_ids()))
          or (
            patient_id = any (array(select private.chart_patient_ids('records')))
            and (
              sensitivity = 'normal'
              or patient_id = any (array(select private.chart_patient_ids('sensitive')))
            )
          )
        )
      )
    )
  );

create policy medical_record_contents_insert_authenticated on public.medical_record_contents
  for insert to authenticated
  with check (
    (select private.session_is_live())
    and deleted_at is null
    and (
      patient_id = (select auth.uid())
      or (
        patient_id = any (array(select private.treated_patient_ids()))
        and record_id = any (array(select private.added_record_ids()))
      )
    )
  );

create policy medical_record_contents_update_authenticated on public.medical_record_contents
  for update to authenticated
  using (
    (select private.session_is_live())
    and deleted_at is null
    and (
      patient_id = (select auth.uid())
      or (
        patient_id = any (array(select private.treated_patient_ids()))
        and record_id = any (array(select private.added_record_ids()))
      )
    )
  )
  with check (
    (select private.session_is_live())
    and (
      patient_id = (select auth.uid())
      or (
        patient_id = any (array(select private.treated_patient_ids()))
        and record_id = any (array(select private.added_record_ids()))
      )
    )
  );

alter table public.medical_record_shares enable row level security;
revoke all on table public.medical_record_shares from public, anon, authenticated, service_role;
grant select on table public.medical_record_shares to authenticated;

create policy medical_record_shares_select_authenticated on public.medical_record_shares
  for select to authenticated
  using (
    (select private.session_is_live())
    and (
      patient_id = (select auth.uid())
      or (
        shared_with_id = (select auth.uid())
        and revoked_at is null
        and expires_at > (select now())
      )
    )
  );

alter table private.record_uploads enable row level security;
revoke all on table private.record_uploads from public, anon, authenticated, service_role;
alter table private.record_openings enable row level security;
revoke all on table private.record_openings from public, anon, authenticated, service_role;
alter table private.patient_identifiers enable row level security;
revoke all on table private.patient_identifiers from public, anon, authenticated, service_role;

-- Avatars are served to anyone by their public address; the folder's owner alone changes them.
create policy avatars_select_authenticated on storage.objects
  for select to authenticated
  using (
    bucket_id = 'avatars'
    and (storage.foldername(name))[1] = (select auth.uid())::text
    and (select private.session_is_live())
  );

create policy avatars_insert_authenticated on storage.objects
  for insert to authenticated
  with check (
    bucket_id = 'avatars'
    and ((select auth.jwt()) ->> 'is_anonymous') is distinct from 'true'
    and (storage.foldername(name))[1] = (select auth.uid())::text
    and (select private.session_is_live())
  );

create policy avatars_update_authenticated on storage.objects
  for update to authenticated
  using (
    bucket_id = 'avatars'
    and (storage.foldername(name))[1] = (select auth.uid())::text
    and (select private.session_is_live())
  )
  with check (
    bucket_id = 'avatars'
    and (storage.foldername(name))[1] = (select auth.uid())::text
    and (select private.session_is_live())
  );

create policy avatars_delete_authenticated on storage.objects
  for delete to authenticated
  using (
    bucket_id = 'avatars'
    and (storage.foldername(name))[1] = (select auth.uid())::text
    and (select private.session_is_live())
  );
