-- What every clinical table asks of the caller's token, whatever its other policies allow: the
-- session is live, the account not locked, and whoever is a clinician or an administrator has
-- signed in with a second factor (private.may_see_clinical_rows). Restrictive, so that no policy
-- beside it can do without; once a statement, whatever the number of rows.
--
-- Clinical is every table with a patient's data that the API serves:
--   patients                 who the patient is, what they have
--   medical_records          and what they say (medical_record_contents)
--   medical_record_shares    title and fact of a record, and who sees it
--   care_relationships       who is treated by whom
--   chart_sessions           who looked at whom, and why
--   reminders, reminder_logs what somebody is to do, and has done
--   medications              what somebody takes
-- A clinician's own profile, their request for verification and asking for care by RPC are not.
-- tests/database/00_catalog.test.sql demands a policy of this kind for each command on each table
-- with a column patient_id.

create policy patients_select_authenticated_only on public.patients
  as restrictive for select to authenticated
  using ((select private.may_see_clinical_rows()));

create policy patients_update_authenticated_only on public.patients
  as restrictive for update to authenticated
  using ((select private.may_see_clinical_rows()))
  with check ((select private.may_see_clinical_rows()));

-- The patients that such a token reaches, none without it. Narrower than it need be, for the
-- planner's sake, which reads a listing of one patient in the order of its index, and finds the
-- rows of an unfiltered listing by index, too.
create policy medical_records_select_authenticated_only on public.medical_records
  as restrictive for select to authenticated
  using (patient_id = any (array(select private.reachable_patient_ids())));

create policy medical_records_insert_authenticated_only on public.medical_records
  as restrictive for insert to authenticated
  with check ((select private.may_see_clinical_rows()));

create policy medical_records_update_authenticated_only on public.medical_records
  as restrictive for update to authenticated
  using ((select private.may_see_clinical_rows()))
  with check ((select private.may_see_clinical_rows()));

create policy medical_record_contents_select_authenticated_only on public.medical_record_contents
  as restrictive for select to authenticated
  using ((select private.may_see_clinical_rows()));

create policy medical_record_contents_insert_authenticated_only on public.medical_record_contents
  as restrictive for insert to authenticated
  with check ((select private.may_see_clinical_rows()));

create policy medical_record_contents_update_authenticated_only on public.medical_record_contents
  as restrictive for update to authenticated
  using ((select private.may_see_clinical_rows()))
  with check ((select private.may_see_clinical_rows()));

create policy medical_record_shares_select_authenticated_only on public.medical_record_shares
  as restrictive for select to authenticated
  using ((select private.may_see_clinical_rows()));

create policy care_relationships_select_authenticated_only on public.care_relationships
  as restrictive for select to authenticated
  using ((select private.may_see_clinical_rows()));

create policy chart_sessions_select_authenticated_only on public.chart_sessions
  as restrictive for select to authenticated
  using ((select private.may_see_clinical_rows()));

create policy reminders_select_authenticated_only on public.reminders
  as restrictive for select to authenticated
  using ((select private.may_see_clinical_rows()));

create policy reminders_delete_authenticated_only on public.reminders
  as restrictive for delete to authenticated
  using ((select private.may_see_clinical_rows()));

create policy reminder_logs_select_authenticated_only on public.reminder_logs
  as restrictive for select to authenticated
  using ((select private.may_see_clinical_rows()));

create policy medications_select_authenticated_only on public.medications
  as restrictive for select to authenticated
  using ((select private.may_see_clinical_rows()));

create policy medications_insert_authenticated_only on public.medications
  as restrictive for insert to authenticated
  with check ((select private.may_see_clinical_rows()));

create policy medications_update_authenticated_only on public.medications
  as restrictive for update to authenticated
  using ((select private.may_see_clinical_rows()))
  with check ((select private.may_see_clinical_rows()));

create policy medications_delete_authenticated_only on public.medications
  as restrictive for delete to authenticated
  using ((select private.may_see_clinical_rows()));
