-- What the access matrix is tried on: the ward of tests/support, who is missing there, and a row in
-- every table that has none. Committed to a scratch database, so that an audit seal can close over it.

select tests.make_ward();

-- A doctor with an emergency that nobody has reviewed, and a moderator.
select tests.make_user('doc_emergency', 'doctor');
select tests.make_emergency('pia', 'doc_emergency');
select tests.make_user('moderator');
insert into public.account_grants (user_id, "grant", granted_by)
values (tests.uid('moderator'), 'moderator', tests.uid('admin'));

-- Calls name their rows, so every chart has an id that is known.
update public.chart_sessions as c
set id = tests.id(format('chart of pia by %s', split_part(u.email, '@', 1)))
from auth.users as u where u.id = c.viewer_id;

-- Sealed fields, and a file, of pia.
select tests.make_field_key('pia');
update public.patients set phone = tests.sealed('+4915112345678', 'pia') where id = tests.uid('pia');
insert into private.patient_search_keys (patient_id, field, digest)
values (tests.uid('pia'), 'phone_national', decode(repeat('ab', 32), 'hex'));
insert into private.patient_identifiers (patient_id, system, value)
values (tests.uid('pia'), 'https://h.example', 'Patient/1');
select tests.make_file('Scan');
-- A record without contents.
insert into public.medical_records (id, patient_id, title, record_type)
values (tests.id('Draft'), tests.uid('pia'), 'Draft', 'other');
select tests.open_record_before('Scan', 'share_view');

insert into public.notifications (id, user_id, kind, title, body)
select tests.id('notification of ' || u), tests.uid(u), 'emergency_access', 'Title', 'Body'
from unnest(array['pia', 'omar', 'admin']) as u;
insert into public.notification_preferences (user_id, kind, channel)
select tests.uid(u), 'care_ended', 'sms' from unnest(array['pia', 'omar', 'admin']) as u;
insert into public.device_tokens (id, user_id, platform, token)
select tests.id('device of ' || u), tests.uid(u), 'fcm', 'device-of-' || u || '-with-the-app'
from unnest(array['pia', 'omar']) as u;
-- Omar's was given up.
insert into public.notification_deliveries (id, notification_id, user_id, channel, status)
select tests.id('delivery to ' || u), tests.id('notification of ' || u), tests.uid(u), 'email',
  case u when 'omar' then 'dead' else 'pending' end
from unnest(array['pia', 'omar']) as u;

-- A conversation about pia's care, a group of hers, and somebody whom omar has blocked.
insert into public.conversations (id, kind, title, patient_id, created_by) values
  (tests.id('care talk'), 'care', 'Team', tests.uid('pia'), tests.uid('pia')),
  (tests.id('group talk'), 'group', 'Walks', null, tests.uid('pia'));
insert into public.conversation_participants (conversation_id, user_id, patient_id, role)
select tests.id('care talk'), tests.uid(u), tests.uid('pia'), case u when 'pia' then 'owner' else 'member' end
from unnest(array['pia', 'doc', 'carer_other']) as u
union all
select tests.id('group talk'), tests.uid(u), null, case u when 'pia' then 'owner' else 'member' end
from unnest(array['pia', 'share_view']) as u;
insert into public.messages (id, conversation_id, seq, sender_id, client_id, kind, content, metadata)
overriding system value
values
  (101, tests.id('care talk'), 1, tests.uid('pia'), '1', 'text', 'Dose?', '{}'),
  (102, tests.id('group talk'), 1, tests.uid('pia'), '2', 'text', 'Sunday?', '{}'),
  (
    103, tests.id('group talk'), 2, tests.uid('pia'), '3', 'image', null, jsonb_build_object(
      'path', tests.id('group talk') || '/' || tests.id('photo'), 'mime', 'image/png', 'size', 1
    )
  );
update public.conversations set last_seq = m.seq, last_message_id = m.id, last_message_at = m.created_at
from (select * from public.messages where id in (101, 103)) as m
where conversations.id = m.conversation_id;
insert into public.blocks (id, blocker_id, blocked_id)
select tests.id('block by ' || u), tests.uid(u), tests.uid('moderator') from unnest(array['pia', 'omar']) as u;
-- What this has told is told elsewhere.
delete from public.notifications where kind = 'new_message';
delete from realtime.messages;

-- The buckets come with a migration; the declaration knows of none.
insert into storage.buckets (id, name, public)
values
  ('avatars', 'avatars', true), ('audit-heads', 'audit-heads', false),
  ('chat-attachments', 'chat-attachments', false)
on conflict do nothing;
insert into storage.objects (bucket_id, name)
select 'avatars', tests.uid(u) || '/face.png' from unnest(array['pia', 'omar', 'doc']) as u
union all
select 'audit-heads', 'head.json';
insert into storage.objects (bucket_id, name, owner_id)
values ('chat-attachments', tests.id('group talk') || '/' || tests.id('photo'), tests.uid('pia'));

insert into realtime.messages (topic, extension, event) values ('room', 'broadcast', 'said');

-- Something that pia's access log tells of.
do $$
begin
  perform tests.act_as('doc');
  perform public.open_medical_record(tests.id('Scan'));
  perform tests.act_as_owner();
end;
$$;

create function tests.audit_event()
  returns bigint
  language sql
  security definer
  set search_path = ''
as $$
  select min(id) from public.audit_events where patient_id = tests.id('pia')
$$;
comment on function tests.audit_event() is 'The oldest audit event about pia.';

-- A medicine and a reminder of it each, and of pia's another one; the last occurrence of each waits.
select tests.make_medicine('Tablets', 'pia'), tests.make_medicine('Drops', 'omar');
select tests.make_reminder('Pill', 'pia', array[now() + interval '1 hour']), tests.make_reminder('Drip', 'omar'),
  tests.make_reminder('Walk', 'pia', p_settings => '{"reminder_type": "exercise"}');
insert into public.reminder_logs (
  id, reminder_id, user_id, reminder_type, timezone, grace_minutes, due_at, status, follow_up_at
)
select
  tests.id('log of ' || r.title), r.id, r.user_id, r.reminder_type, 'UTC', 60,
  now() - interval '1 hour', 'sent', now()
from public.reminders as r;
