-- Who may do what to the tables and files of chat. Ana, ben and cid are in a group with a message
-- each and a file of ana's; cid was removed after the first; doc looks after ana.
begin;
select plan(207);

select tests.make_user(u) from unnest(array['ana', 'ben', 'cid', 'eve']) as u;
select tests.make_user('doc', 'doctor'), tests.make_user('ada', 'admin');
select tests.make_user('guest', p_anonymous => true);
select tests.make_care('ana', 'doc');
select tests.make_record('Scan', 'ana', 'imaging'), tests.make_record('Bill', 'ben', 'insurance'), tests.make_share('Bill', 'ana');
update public.profiles set is_public = true;
insert into storage.buckets (id, name, public) values ('chat-attachments', 'chat-attachments', false), ('elsewhere', 'elsewhere', false)
on conflict do nothing;
create temp table c (name text primary key, id uuid);
grant all on c to public;
create function pg_temp.c(p_name text) returns uuid language sql as $$ select id from c where name = p_name $$;
create function pg_temp.path(p_file text, p_name text default 'group') returns text language sql as $$
  select pg_temp.c(p_name) || '/' || tests.id(p_file)
$$;
create function pg_temp.upload(p_owner text, p_path text, p_bucket text default 'chat-attachments') returns text language sql as $$
  select format('insert into storage.objects (bucket_id, name, owner, owner_id) values (%L, %L, %L, %3$L)', p_bucket, p_path, tests.id(p_owner))
$$;
create function pg_temp.file(p_path text) returns jsonb language sql as $$
  select jsonb_build_object('path', p_path, 'mime', 'image/png', 'size', 100)
$$;
select tests.act_as('ana');
insert into c select 'group', (public.start_conversation(array[tests.uid('ben'), tests.uid('cid')], 'group')).id;
insert into c select 'care', (public.start_conversation(array[tests.uid('doc')], 'care')).id;
select public.send_message(pg_temp.c('group'), 'First', '1');
select public.send_message(pg_temp.c('care'), 'Dose', 'd');
select public.remove_participant(pg_temp.c('group'), tests.uid('cid'));
select tests.act_as_owner();
do $$ begin
  execute pg_temp.upload('ana', pg_temp.path('photo'));
  execute pg_temp.upload('ana', pg_temp.path('draft'));
  execute pg_temp.upload('ben', pg_temp.path('of ben'));
  execute pg_temp.upload('ana', pg_temp.path('mri', 'care'));
end $$;

-- Attaching --------------------------------------------------------------------------------------

create temp table before as select tests.state() as state;
select is(tests.attempt(actor, format('select (public.send_message(%L, null, ''f'', ''file'', %L)).kind', pg_temp.c(conversation), metadata)), outcome,
  format('%s attaches %s in %s', actor, what, conversation))
from (values
  ('ana', 'group', 'her file', pg_temp.file(pg_temp.path('photo')), 'file'),
  ('ben', 'group', 'hers', pg_temp.file(pg_temp.path('photo')), 'PT404 not_found'),
  ('ana', 'group', 'one that is not there', pg_temp.file(pg_temp.path('nothing')), 'PT404 not_found'),
  ('ana', 'group', 'one of another conversation', pg_temp.file(pg_temp.path('mri', 'care')), 'PT404 not_found'),
  ('ana', 'group', 'no address', '{"url": "https://example.org/x.png"}', 'PT400 invalid_request'),
  ('ana', 'group', 'her record', jsonb_build_object('record_id', tests.id('Scan')), 'file'),
  ('ana', 'group', 'one that is shared with her', jsonb_build_object('record_id', tests.id('Bill')), 'file'),
  ('ben', 'group', 'a record of ana', jsonb_build_object('record_id', tests.id('Scan')), 'PT404 not_found'),
  ('ana', 'group', 'no record', jsonb_build_object('record_id', tests.id('nothing')), 'PT404 not_found')
) as t (actor, conversation, what, metadata, outcome);
select is(tests.state(), (select state from before), 'no attempt has changed anything');
select tests.act_as('ana');
select lives_ok($$ select public.send_message(pg_temp.c('group'), 'See', '2', 'image', pg_temp.file(pg_temp.path('photo'))) $$, 'ana sends a photo');
select lives_ok($$ select public.send_message(pg_temp.c('care'), null, '3', 'image', pg_temp.file(pg_temp.path('mri', 'care'))) $$, 'and one to her doctor');
select tests.act_as_owner();

-- Tables -----------------------------------------------------------------------------------------

select is(tests.attempt(actor, statement, standing), outcome, format('%s of %s by %s, %s', verb, name, actor, standing))
from (values
  ('conversations', 'ana', 'live', 'care, group'), ('conversations', 'ben', 'live', 'group'), ('conversations', 'cid', 'live', 'nothing'),
  ('conversations', 'eve', 'live', 'nothing'), ('conversations', 'guest', 'live', 'nothing'), ('conversations', 'ada', 'live', 'nothing'),
  ('conversations', 'doc', 'live', 'care'), ('conversations', 'doc@aal1', 'live', 'nothing'), ('conversations', 'anon', 'live', '42501 grant'),
  ('conversations', 'service_role', 'live', '42501 grant'), ('conversations', 'ana', 'signed out', 'nothing'), ('conversations', 'ana', 'locked', 'nothing'),
  ('conversation_participants', 'ana', 'live', 'Ana, Ana, Ben, Cid, Doc'), ('conversation_participants', 'ben', 'live', 'Ana, Ben, Cid'),
  ('conversation_participants', 'cid', 'live', 'Cid'), ('conversation_participants', 'eve', 'live', 'nothing'),
  ('conversation_participants', 'guest', 'live', 'nothing'), ('conversation_participants', 'ada', 'live', 'nothing'),
  ('conversation_participants', 'doc', 'live', 'Ana, Doc'), ('conversation_participants', 'doc@aal1', 'live', 'nothing'),
  ('conversation_participants', 'anon', 'live', '42501 grant'), ('conversation_participants', 'service_role', 'live', '42501 grant'),
  ('conversation_participants', 'ana', 'signed out', 'nothing'), ('conversation_participants', 'cid', 'locked', 'nothing'),
  ('messages', 'ana', 'live', '-, Dose, First, See'), ('messages', 'ben', 'live', 'First, See'), ('messages', 'cid', 'live', 'First'),
  ('messages', 'eve', 'live', 'nothing'), ('messages', 'guest', 'live', 'nothing'), ('messages', 'ada', 'live', 'nothing'),
  ('messages', 'doc', 'live', '-, Dose'), ('messages', 'doc@aal1', 'live', 'nothing'), ('messages', 'anon', 'live', '42501 grant'),
  ('messages', 'service_role', 'live', '42501 grant'), ('messages', 'ana', 'signed out', 'nothing'), ('messages', 'cid', 'locked', 'nothing')
) as m (name, actor, standing, seen)
cross join lateral (values
  ('select', case name
    when 'conversations' then 'select kind from public.conversations'
    when 'messages' then 'select coalesce(content, ''-'') from public.messages'
    else 'select n ->> user_id::text from public.conversation_participants, tests.names() as n' end, seen),
  ('insert', format('insert into public.%I default values', name), '42501 grant'),
  ('update', format('update public.%I set created_at = now()', name), '42501 grant'),
  ('delete', format('delete from public.%I', name), '42501 grant')
) as v (verb, statement, outcome);
select is(tests.attempt(actor, 'select 1 from private.' || name), '42501 grant', format('%s reads %s', actor, name))
from unnest(array['ana', 'service_role']) as actor
cross join unnest(array['conversation_mutes', 'sent_messages', 'messages_default']) as name;

select is_empty(
  $$
    select c.relname from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
    where i.inhparent = 'public.messages'::regclass and not exists (
      select from pg_trigger as t
      where t.tgrelid = c.oid and t.tgname = c.relname || '_no_truncate' and t.tgenabled = 'A' and t.tgtype & 34 = 34
    )
  $$,
  'no partition of messages is emptied'
);
select throws_ok('truncate private.messages_default', '42501', null, 'not even that of no month');

-- Files ------------------------------------------------------------------------------------------

select set_config('storage.allow_delete_query', 'true', true);
create function pg_temp.files(p_actor text, p_standing text default 'live') returns text language sql as $$
  select tests.attempt(p_actor, format($f$
    select f.file from storage.objects as o
    join (values (%L, 'photo'), (%L, 'draft'), (%L, 'of ben'), (%L, 'mri')) as f (name, file) on f.name = o.name
    where bucket_id = 'chat-attachments'
  $f$, pg_temp.path('photo'), pg_temp.path('draft'), pg_temp.path('of ben'), pg_temp.path('mri', 'care')), p_standing)
$$;
select is(pg_temp.files(actor, standing), outcome, format('files for %s, %s', actor, standing))
from (values
  ('ana', 'live', 'draft, mri, photo'), ('ben', 'live', 'of ben, photo'), ('cid', 'live', 'nothing'), ('eve', 'live', 'nothing'),
  ('doc', 'live', 'mri'), ('doc@aal1', 'live', 'nothing'), ('ada', 'live', 'nothing'), ('guest', 'live', 'nothing'), ('anon', 'live', 'nothing'),
  ('ana', 'signed out', 'nothing'), ('ben', 'locked', 'nothing')
) as t (actor, standing, outcome);

select is(tests.attempt(actor, pg_temp.upload(owner, path, bucket), standing), outcome, format('%s uploads %s for %s to %s, %s', actor, path, owner, bucket, standing))
from (values
  ('ana', 'ana', pg_temp.path('new'), 'chat-attachments', 'live', '1'), ('ben', 'ben', pg_temp.path('new'), 'chat-attachments', 'live', '1'),
  ('ana', 'ben', pg_temp.path('new'), 'chat-attachments', 'live', '42501 policy'), ('cid', 'cid', pg_temp.path('new'), 'chat-attachments', 'live', '42501 policy'),
  ('eve', 'eve', pg_temp.path('new'), 'chat-attachments', 'live', '42501 policy'), ('anon', 'ana', pg_temp.path('new'), 'chat-attachments', 'live', '42501 policy'),
  ('ana', 'ana', pg_temp.path('new', 'care'), 'chat-attachments', 'live', '1'), ('doc', 'doc', pg_temp.path('new', 'care'), 'chat-attachments', 'live', '1'),
  ('doc@aal1', 'doc', pg_temp.path('new', 'care'), 'chat-attachments', 'live', '42501 policy'),
  ('ana', 'ana', pg_temp.path('new') || '/x', 'chat-attachments', 'live', '42501 policy'), ('ana', 'ana', pg_temp.c('group') || '/x.png', 'chat-attachments', 'live', '42501 policy'),
  ('ana', 'ana', tests.id('x') || '/' || tests.id('y'), 'chat-attachments', 'live', '42501 policy'),
  ('ana', 'ana', pg_temp.path('new'), 'elsewhere', 'live', '42501 policy'),
  ('ana', 'ana', pg_temp.path('new'), 'chat-attachments', 'signed out', '42501 policy')
) as t (actor, owner, path, bucket, standing, outcome);
-- A message goes on showing what its sender has sent, or nothing.
create temp table kept as select * from storage.objects where name = pg_temp.path('photo');
delete from storage.objects where name = pg_temp.path('photo');
select is(tests.attempt(actor, pg_temp.upload(actor, pg_temp.path('photo'))), '42501 policy', actor || ' puts another file in the place of one of ana''s messages')
from unnest(array['ana', 'ben']) as actor;
insert into storage.objects (id, bucket_id, name, owner_id) select id, bucket_id, name, owner_id from kept;
select is(tests.attempt(actor, statement), outcome, format('%s: %s', actor, left(statement, 60)))
from (values
  ('ana', 'delete from storage.objects', '3'), ('ben', 'delete from storage.objects', '1'), ('cid', 'delete from storage.objects', '0'),
  ('doc', 'delete from storage.objects', '0'), ('ana', $$ update storage.objects set metadata = '{}' $$, '0')
) as t (actor, statement, outcome);
-- With the message goes the file; what was never sent is its owner's.
select tests.act_as('ana');
select public.delete_message(id) from public.messages where content = 'See';
select tests.act_as_owner();
select is(pg_temp.files('ben'), 'of ben', 'the file of a deleted message is read by nobody else');
-- Of another bucket no message shows a file.
update storage.objects set bucket_id = 'elsewhere' where name = pg_temp.path('mri', 'care');
select is(tests.attempt('doc', 'select name from storage.objects'), 'nothing', 'nor does a message show a file elsewhere');
select is(tests.attempt('ana', 'select name from storage.objects where bucket_id = ''elsewhere'''), 'nothing', 'not even one''s own');
select is(tests.attempt('ana', 'delete from storage.objects where bucket_id = ''elsewhere'''), '0', 'nor deletes it');

-- Without a condition, which would read the rows, so that the policy of select decided, too.
do $$ begin
  execute pg_temp.upload('cid', pg_temp.path('of cid'));
end $$;
select is(tests.attempt(actor, 'delete from storage.objects'), outcome, format('%s deletes whatever can be', actor))
from (values ('ana', '2'), ('cid', '0')) as t (actor, outcome);

-- The floor under messages does not rest on the policies of another table.
select isnt_empty(
  $$ select from pg_policies where schemaname = 'public' and tablename = 'messages'
    and permissive = 'RESTRICTIVE' and qual ~ 'conversation_id = ANY .*readable_conversation_ids' $$,
  'messages have a floor of their own'
);

-- A stretch is of its conversation: what another one covers it does not.
select tests.act_as('cid');
insert into c select 'other', (public.start_conversation(array[tests.uid('doc')], 'group')).id;
select tests.act_as_owner();
select is(tests.attempt('cid', 'select seq from public.messages'), '1', 'who takes part elsewhere reads no more here');
-- The second factor is asked for where it is about care, and nowhere else.
select is(tests.attempt('doc@aal1', statement), outcome, 'a doctor without second factor: ' || statement)
from (values
  ('select kind from public.conversations', 'group'),
  ('select n ->> user_id::text from public.conversation_participants, tests.names() as n', 'Cid, Doc'),
  ('select kind from public.list_conversations()', 'group')
) as t (statement, outcome);

select * from finish();
rollback;
