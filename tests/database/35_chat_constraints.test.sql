-- Constraints of chat, each on both sides of its limit, tried as the owner: whatever grants, policies
-- and functions let through, a row cannot say more than this.
begin;
select plan(99);

select tests.make_user(u) from unnest(array['ana', 'ben', 'cid']) as u;
insert into public.conversations (id, kind, created_by, last_seq, last_message_id, last_message_at)
values (tests.id('group'), 'group', tests.uid('ana'), 1, 1, now());
insert into public.conversations (id, kind, pair)
values (tests.id('direct'), 'direct', array(select u from unnest(array[tests.id('ana'), tests.id('ben')]) as u order by u));
insert into public.conversations (id, kind, patient_id) values (tests.id('care'), 'care', tests.uid('ana'));
insert into public.conversation_participants (conversation_id, user_id) values (tests.id('group'), tests.uid('ana'));
insert into public.messages (conversation_id, seq, sender_id, client_id, content) values (tests.id('group'), 1, tests.uid('ana'), '1', 'Hello');
insert into public.blocks (blocker_id, blocked_id) values (tests.uid('ana'), tests.uid('ben'));
insert into private.conversation_mutes (conversation_id, user_id, muted_until) values (tests.id('group'), tests.uid('ana'), now());
insert into private.sent_messages (sender_id, client_id, message_id, message_created_at, digest) values (tests.uid('ana'), '1', 1, now(), '\x00');

create function pg_temp.pair(variadic p_names text[]) returns uuid[] language sql as $$
  select array(select tests.id(n) from unnest(p_names) as n order by 1)
$$;
select is(tests.refusal(format('update public.conversations set %s where id = tests.id(%L)', change, conversation)), outcome,
  format('conversations, %s: %s: %s', conversation, left(change, 60), outcome))
from (values
  ('group', $$kind = 'party'$$, 'conversations_kind_check'),
  ('group', $$kind = 'community', community_id = gen_random_uuid()$$, 'done'),
  ('group', $$kind = 'community'$$, 'conversations_community_check'),
  ('group', $$community_id = gen_random_uuid()$$, 'conversations_community_check'),
  ('group', $$title = 'x'$$, 'done'), ('group', $$title = repeat('x', 120)$$, 'done'),
  ('group', $$title = repeat('x', 121)$$, 'conversations_title_check'), ('group', $$title = ''$$, 'conversations_title_check'),
  ('group', $$title = ' x'$$, 'conversations_title_check'), ('direct', $$title = 'x'$$, 'conversations_title_check'),
  ('group', $$patient_id = tests.id('ana')$$, 'conversations_patient_check'), ('care', 'patient_id = null', 'conversations_patient_check'),
  ('care', 'patient_id = gen_random_uuid()', 'conversations_patient_id_fkey'),
  ('group', 'created_by = gen_random_uuid()', 'conversations_created_by_fkey'),
  ('direct', 'pair = null', 'conversations_pair_check'), ('group', $$pair = pg_temp.pair('ana', 'cid')$$, 'conversations_pair_check'),
  ('direct', $$pair = pg_temp.pair('ana', 'cid')$$, 'done'),
  ('direct', 'pair = array[pair[2], pair[1]]', 'conversations_pair_check'), ('direct', 'pair = array[pair[1], pair[1]]', 'conversations_pair_check'),
  ('direct', 'pair = array[pair[1]]', 'conversations_pair_check'), ('direct', 'pair = pair || pair[2]', 'conversations_pair_check'),
  ('direct', 'pair = array[pair[1], null]', 'conversations_pair_check'),
  ('group', $$kind = 'direct', pair = (select pair from public.conversations where kind = 'direct')$$, 'conversations_one_direct'),
  ('group', 'last_seq = -1', 'conversations_last_message_check'), ('group', 'last_seq = 0', 'conversations_last_message_check'),
  ('group', 'last_message_id = null', 'conversations_last_message_check'), ('group', 'last_message_at = null', 'conversations_last_message_check'),
  ('group', 'last_seq = 0, last_message_id = null, last_message_at = null', 'done'),
  ('group', 'epoch = -1', 'conversations_epoch_check'), ('group', 'epoch = 1', 'done')
) as t (conversation, change, outcome);

select is(tests.refusal('update public.conversation_participants set ' || change), outcome, format('conversation_participants: %s: %s', change, outcome))
from (values
  ($$role = 'admin'$$, 'done'), ($$role = 'guest'$$, 'conversation_participants_role_check'),
  ('joined_seq = -1', 'conversation_participants_stretch_check'), ('last_read_seq = 2, joined_seq = 2', 'done'),
  ('left_at = now()', 'conversation_participants_stretch_check'), ('left_seq = 1', 'conversation_participants_stretch_check'),
  ('left_at = joined_at, left_seq = joined_seq', 'done'),
  ($$left_at = joined_at - interval '1 second', left_seq = 1$$, 'conversation_participants_stretch_check'),
  ('left_at = now(), joined_seq = 2, last_read_seq = 2, left_seq = 1', 'conversation_participants_stretch_check'),
  ('joined_seq = 1', 'conversation_participants_read_check'), ('last_sent_seq = -1', 'conversation_participants_read_check'),
  ('user_id = gen_random_uuid()', 'conversation_participants_user_id_fkey'),
  ('conversation_id = gen_random_uuid()', 'conversation_participants_conversation_id_fkey')
) as t (change, outcome);
select is(tests.refusal($$ insert into public.conversation_participants (conversation_id, user_id) values (tests.id('group'), tests.id('ana')) $$),
  'conversation_participants_one_current', 'nobody is there twice');
select is(tests.refusal($$ insert into public.conversation_participants (conversation_id, user_id, left_at, left_seq) values (tests.id('group'), tests.id('ana'), now(), 0) $$),
  'done', 'and may have been there before');

create function pg_temp.file(p_change jsonb default '{}') returns text language sql as $$
  select format('%L', jsonb_strip_nulls(jsonb_build_object('path', tests.id('group') || '/' || tests.id('file'), 'mime', 'image/png', 'size', 1) || p_change))
$$;
select is(tests.refusal('update public.messages set ' || change), outcome, format('messages: %s: %s', left(change, 70), outcome))
from (values
  ('seq = 0', 'messages_seq_check'), ($$kind = 'video'$$, 'messages_kind_check'),
  ($$kind = 'system', sender_id = null, client_id = null, metadata = '{"event": 1}'$$, 'done'),
  ($$kind = 'system', sender_id = null, client_id = null, metadata = '[]'$$, 'messages_metadata_check'),
  ($$kind = 'system'$$, 'messages_sender_check'), ('sender_id = null', 'messages_sender_check'), ('client_id = null', 'messages_sender_check'),
  ($$client_id = ''$$, 'messages_client_id_check'), ($$client_id = repeat('x', 100)$$, 'done'), ($$client_id = repeat('x', 101)$$, 'messages_client_id_check'),
  ($$content = ''$$, 'messages_content_check'), ('content = null', 'messages_content_check'),
  ($$content = repeat('x', 8000)$$, 'done'), ($$content = repeat('x', 8001)$$, 'messages_content_check'),
  ('content = null, deleted_at = now()', 'done'), ('deleted_at = now()', 'messages_deleted_check'),
  ($$metadata = '{"a": 1}'$$, 'messages_metadata_check'), ($$kind = 'image'$$, 'messages_metadata_check'),
  ($$kind = 'image', content = null, deleted_at = now()$$, 'done'),
  ($$kind = 'image', content = null, deleted_at = now(), metadata = $$ || pg_temp.file(), 'messages_deleted_check'),
  ($$kind = 'image', content = null, metadata = $$ || pg_temp.file(), 'done'),
  ('conversation_id = gen_random_uuid()', 'messages_conversation_id_fkey')
) as t (change, outcome);

select is(private.is_attachment(kind, metadata::jsonb, encrypted), outcome, format('%s %s %s: %s', kind, metadata, encrypted, outcome))
from (values
  ('text', '{}', false, true), ('text', '{"name": "x"}', false, false), ('image', '[]', false, false), ('image', null, false, false),
  ('image', trim(both '''' from pg_temp.file()), false, true),
  ('image', trim(both '''' from pg_temp.file('{"name": "A scan", "size": 26214400}')), false, true),
  ('image', trim(both '''' from pg_temp.file('{"size": 26214401}')), false, false),
  ('image', trim(both '''' from pg_temp.file('{"size": 0}')), false, false), ('image', trim(both '''' from pg_temp.file('{"size": "1"}')), false, false),
  ('image', trim(both '''' from pg_temp.file('{"size": 1.5}')), false, false), ('image', trim(both '''' from pg_temp.file('{"size": null}')), false, false),
  ('image', trim(both '''' from pg_temp.file('{"mime": "application/pdf"}')), false, false),
  ('file', trim(both '''' from pg_temp.file('{"mime": "application/pdf"}')), false, true),
  ('image', trim(both '''' from pg_temp.file('{"mime": "application/octet-stream"}')), true, true),
  ('file', trim(both '''' from pg_temp.file('{"mime": "x"}')), false, false), ('file', trim(both '''' from pg_temp.file('{"path": "x"}')), false, false),
  ('file', trim(both '''' from pg_temp.file('{"path": null}')), false, false), ('file', trim(both '''' from pg_temp.file('{"url": "https://x"}')), false, false),
  ('file', trim(both '''' from pg_temp.file('{"name": ""}')), false, false), ('file', trim(both '''' from pg_temp.file('{"name": 1}')), false, false),
  ('file', format('{"record_id": "%s"}', tests.id('x')), false, true), ('file', format('{"record_id": "%s", "name": "x"}', tests.id('x')), false, true),
  ('file', format('{"record_id": "%s", "size": 1}', tests.id('x')), false, false), ('file', '{"record_id": "x"}', false, false)
) as t (kind, metadata, encrypted, outcome);

select is(tests.refusal(statement), outcome, format('%s: %s', left(statement, 70), outcome))
from (values
  ($$insert into public.blocks (blocker_id, blocked_id) values (tests.id('ana'), tests.id('ben'))$$, 'blocks_one_each'),
  ($$update public.blocks set blocked_id = blocker_id$$, 'blocks_people_check'),
  ($$update public.blocks set blocker_id = gen_random_uuid()$$, 'blocks_blocker_id_fkey'),
  ($$insert into private.conversation_mutes values (tests.id('group'), tests.id('ana'), now())$$, 'conversation_mutes_pkey'),
  ($$update private.conversation_mutes set user_id = gen_random_uuid()$$, 'conversation_mutes_user_id_fkey'),
  ($$update private.conversation_mutes set conversation_id = gen_random_uuid()$$, 'conversation_mutes_conversation_id_fkey'),
  ($$insert into private.sent_messages values (tests.id('ana'), '1', 2, now(), '\x00')$$, 'sent_messages_pkey'),
  ($$update private.sent_messages set sender_id = gen_random_uuid()$$, 'sent_messages_sender_id_fkey')
) as t (statement, outcome);

select * from finish();
rollback;
