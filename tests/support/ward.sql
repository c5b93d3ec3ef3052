-- The ward: one patient and everybody around her, one person for each way to stand to her records,
-- so that access can be tested as a matrix. Follows scenes.sql.

create function tests.make_ward()
  returns void
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_handle text;
begin
  perform tests.make_user(u) from unnest(array[
    'pia', 'omar', 'share_view', 'share_download', 'share_expired', 'share_revoked'
  ]) as u;
  perform tests.make_user(u, 'caregiver') from unnest(array[
    'carer', 'carer_sensitive', 'carer_other', 'carer_closed', 'carer_expired', 'carer_requested',
    'carer_declined', 'carer_ended', 'carer_lapsed'
  ]) as u;
  perform tests.make_user(u, 'doctor') from unnest(array[
    'doc', 'doc_closed', 'doc_expired', 'doc_requested', 'doc_declined', 'doc_ended', 'doc_lapsed',
    'doc_withdrawn', 'doc_stranger'
  ]) as u;
  perform tests.make_user('doc_unverified', 'doctor', p_verified => false);
  perform tests.make_user('admin', 'admin');
  perform tests.make_user('guest', p_anonymous => true);

  perform tests.make_record('Scan', 'pia', 'imaging');
  perform tests.make_record('Genes', 'pia', 'pathology', 'sensitive');
  perform tests.make_record('Old', 'pia', p_deleted => true);
  perform tests.make_record('Bill', 'omar', 'insurance');

  perform tests.make_share('Scan', 'share_view');
  perform tests.make_share('Scan', 'share_download', 'download');
  perform tests.make_share('Scan', 'share_expired', 'download', interval '-1 second');
  perform tests.make_share('Scan', 'share_revoked', 'download', p_revoked => true);

  perform tests.make_care('pia', 'carer_sensitive', p_scopes => array['records', 'sensitive']);
  perform tests.make_care('pia', 'carer_other', p_scopes => array[
    'tracking', 'medications', 'appointments', 'messages', 'sensitive'
  ]);
  perform tests.make_care('pia', format('%s_%s', kind, status), status)
  from unnest(array['carer', 'doc']) as kind
  cross join unnest(array['requested', 'declined', 'ended']) as status;
  perform tests.make_care('pia', u, p_ends_in => interval '-1 second')
  from unnest(array['carer_lapsed', 'doc_lapsed']) as u;

  -- Whoever may no longer, or not yet, read has an open chart all the same: it must not be enough.
  foreach v_handle in array array[
    'carer', 'carer_sensitive', 'carer_other', 'carer_requested', 'carer_declined', 'carer_ended',
    'carer_lapsed', 'doc', 'doc_requested', 'doc_declined', 'doc_ended', 'doc_lapsed',
    'doc_withdrawn', 'doc_unverified'
  ] loop
    perform tests.open_chart('pia', v_handle);
  end loop;
  perform tests.open_chart('pia', u, closed => true)
    from unnest(array['carer_closed', 'doc_closed']) as u;
  perform tests.open_chart('pia', u, expired => true)
  from unnest(array['carer_expired', 'doc_expired']) as u;
  update public.doctors set verified_at = null, rejected_reason = 'Licence expired'
  where id = tests.uid('doc_withdrawn');

  -- `doc` has added one record himself, and so has a doctor whose chart is closed by now.
  insert into public.medical_records (id, patient_id, title, record_type)
  select tests.id(title), tests.uid('pia'), title, 'other'
  from unnest(array['Note', 'Letter']) as title;
  insert into public.medical_record_contents (record_id, description)
  select tests.id(title), tests.sealed('Contents of ' || title) from unnest(array['Note', 'Letter']) as title;
  update public.medical_records set source = 'doctor', created_by = tests.uid('doc')
  where id = tests.id('Note');
  update public.medical_records set source = 'doctor', created_by = tests.uid('doc_closed')
  where id = tests.id('Letter');
end;
$$;
comment on function tests.make_ward() is
  'Pia, a patient, and omar, another; accounts with a share of her record Scan; caregivers and '
  'doctors named for what became of their care or chart (`carer` and `doc`: active, chart open; '
  '`carer_other` has every scope but records; `_lapsed`: ends_at has passed); an admin; a guest who '
  'signed in anonymously. Records: Scan, Genes (sensitive), Old (deleted), Note (added by doc), '
  'Letter (added by doc_closed), and omar''s Bill.';
