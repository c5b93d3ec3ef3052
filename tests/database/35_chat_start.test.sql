-- Starting conversations: who may with whom, what comes of it, and that every reason why not looks
-- alike. Ana, ben and cid are public; eve is not; lou is locked; bad has blocked ana and oli is
-- blocked by her; doc and carer look after ana, and clerk does without the scope messages.
begin;
select plan(63);

select tests.make_user(u) from unnest(array['ana', 'ben', 'cid', 'eve', 'lou', 'bad', 'oli', 'out']) as u;
select tests.make_user('carer', 'caregiver'), tests.make_user('clerk', 'caregiver');
select tests.make_user('doc', 'doctor'), tests.make_user('fake', 'doctor', p_verified => false);
select tests.make_user('guest', p_anonymous => true);
select tests.make_care('ana', 'doc'), tests.make_care('ana', 'fake'),
  tests.make_care('ana', 'carer', p_scopes => '{messages}'), tests.make_care('ana', 'clerk');
update public.profiles set is_public = true where id not in (tests.uid('eve'), tests.uid('doc'));
update public.profiles set is_active = false where id = tests.uid('lou');
insert into public.blocks (blocker_id, blocked_id) values
  (tests.uid('bad'), tests.uid('ana')), (tests.uid('ana'), tests.uid('oli'));
create temp table before as select tests.state() as state;

create function pg_temp.start(p_kind text, p_title text, variadic p_others text[])
  returns text language sql as $$
  select format(
    'select (public.start_conversation(%L::uuid[], %L, %L)).kind',
    array(select tests.id(o) from unnest(p_others) as o), p_kind, p_title
  )
$$;

-- Who may ----------------------------------------------------------------------------------------

select is(
  tests.attempt(actor, pg_temp.start(kind, title, variadic others), standing), outcome,
  format('%s starts %s with %s, %s', actor, kind, others, standing)
)
from (values
  ('ana', 'direct', null, array['ben'], 'live', 'direct'),
  ('ana', 'group', null, array['ben'], 'live', 'group'),
  ('ana', 'group', 'Walks', array['ben', 'cid'], 'live', 'group'),
  ('ana', 'direct', null, array['doc'], 'live', 'direct'),
  ('ana', 'direct', null, array['ben', 'ana'], 'live', 'direct'),
  -- Whoever cannot be reached is not there, whatever the reason.
  ('ana', 'direct', null, array['eve'], 'live', 'PT404 not_found'),
  ('ana', 'direct', null, array['lou'], 'live', 'PT404 not_found'),
  ('ana', 'direct', null, array['bad'], 'live', 'PT404 not_found'),
  ('ana', 'direct', null, array['oli'], 'live', 'PT404 not_found'),
  ('oli', 'direct', null, array['ana'], 'live', 'PT404 not_found'),
  ('ana', 'direct', null, array['guest'], 'live', 'PT404 not_found'),
  ('ana', 'direct', null, array['nobody'], 'live', 'PT404 not_found'),
  ('ana', 'group', null, array['ben', 'bad'], 'live', 'PT404 not_found'),
  ('ana', 'group', null, array['ben', 'nobody'], 'live', 'PT404 not_found'),
  -- Bad requests.
  ('ana', 'direct', null, array['ben', 'cid'], 'live', 'PT400 invalid_request'),
  ('ana', 'direct', null, array['ana'], 'live', 'PT400 invalid_request'),
  ('ana', 'direct', 'Title', array['ben'], 'live', 'PT400 invalid_request'),
  ('ana', 'direct', null, array[null], 'live', 'PT400 invalid_request'),
  ('ana', 'group', repeat('x', 120), array['ben'], 'live', 'group'),
  ('ana', 'group', repeat('x', 121), array['ben'], 'live', 'PT400 invalid_request'),
  ('ana', 'community', null, array['ben'], 'live', 'PT400 invalid_request'),
  ('ana', null, null, array['ben'], 'live', 'PT400 invalid_request'),
  -- Care: the patient and members of the team, started by either.
  ('ana', 'care', 'Team', array['doc'], 'live', 'care'),
  ('ana', 'care', null, array['doc', 'carer'], 'live', 'care'),
  ('doc', 'care', null, array['ana'], 'live', 'care'),
  ('doc', 'care', null, array['ana', 'carer'], 'live', 'care'),
  ('carer', 'care', null, array['ana', 'doc'], 'live', 'care'),
  ('ana', 'care', null, array['clerk'], 'live', 'PT404 not_found'),
  ('clerk', 'care', null, array['ana'], 'live', 'PT404 not_found'),
  ('ana', 'care', null, array['fake'], 'live', 'PT404 not_found'),
  ('fake', 'care', null, array['ana'], 'live', 'PT404 not_found'),
  ('ana', 'care', null, array['doc', 'ben'], 'live', 'PT404 not_found'),
  ('doc', 'care', null, array['ben'], 'live', 'PT404 not_found'),
  ('doc', 'care', null, array['carer'], 'live', 'PT404 not_found'),
  ('doc@aal1', 'care', null, array['ana'], 'live', 'PT403 mfa_required'),
  -- Who asks.
  ('guest', 'direct', null, array['ben'], 'live', 'PT403 forbidden'),
  ('anon', 'direct', null, array['ben'], 'live', '42501 grant'),
  ('service_role', 'direct', null, array['ben'], 'live', '42501 grant'),
  ('ana', 'direct', null, array['ben'], 'signed out', 'PT401 unauthenticated'),
  ('ana', 'direct', null, array['ben'], 'locked', 'PT401 unauthenticated')
) as m (actor, kind, title, others, standing, outcome);
select is(tests.attempt('ana', $$
    select (public.start_conversation(array(select gen_random_uuid() from generate_series(1, 256)), 'group')).kind
  $$), 'PT400 invalid_request', 'a group has no more than 256');
select is(tests.attempt('ana', $$
    select (public.start_conversation(array(select gen_random_uuid() from generate_series(1, 255)), 'group')).kind
  $$), 'PT404 not_found', 'and may have so many');

-- Every reason has the same words.
create function pg_temp.words(p_other text) returns text language plpgsql as $$
declare
  v_words text;
begin
  perform tests.act_as('ana');
  perform public.start_conversation(array[tests.id(p_other)]);
exception when sqlstate 'PT404' then
  get stacked diagnostics v_words = pg_exception_detail;
  return concat_ws('/', sqlstate, sqlerrm, v_words);
end
$$;
select is(pg_temp.words(u), pg_temp.words('nobody'), u || ' is refused in the words of nobody')
from unnest(array['eve', 'lou', 'bad', 'oli', 'guest']) as u;
select tests.act_as_owner();
select is(tests.state(), (select state from before), 'no attempt has changed anything');

-- What comes of it -------------------------------------------------------------------------------

create temp table c (name text primary key, id uuid, topic text);
grant all on c to public;
select tests.act_as('ana');
insert into c select 'direct', s.id, s.topic from public.start_conversation(array[tests.uid('ben')]) as s;
select is((select topic from c), 'conversation:' || (select id from c), 'it tells its topic');
select is((public.start_conversation(array[tests.uid('ben')])).id, (select id from c),
  'starting again answers the same');
select tests.act_as('ben');
select is((public.start_conversation(array[tests.uid('ana')])).id, (select id from c),
  'from the other side, too');
select tests.act_as('ana');
select isnt(
  (public.start_conversation(array[tests.uid('ben')], 'group')).id,
  (public.start_conversation(array[tests.uid('ben')], 'group')).id,
  'groups are as many as are started'
);
insert into c select 'group', s.id, s.topic
from public.start_conversation(array[tests.uid('ben'), tests.uid('cid'), tests.uid('ben')], 'group', ' Walks ') as s;
select tests.act_as('doc');
insert into c select 'care', s.id, s.topic
from public.start_conversation(array[tests.uid('carer'), tests.uid('ana')], 'care') as s;
select tests.act_as_owner();

select results_eq(
  $$
    select c.name, v.title, string_agg(concat_ws(' ', p.display_name, q.role), ', ' order by p.display_name)
    from c join public.conversations as v on v.id = c.id
    join public.conversation_participants as q on q.conversation_id = c.id
    join public.profiles as p on p.id = q.user_id
    group by 1, 2 order by 1
  $$,
  $$ values ('care', null, 'Ana owner, Carer member, Doc member'), ('direct', null, 'Ana member, Ben member'),
    ('group', 'Walks', 'Ana owner, Ben member, Cid member') $$,
  'whoever starts a group owns it, and a patient what is about their care'
);
select results_eq(
  $$ select c.name, v.patient_id, v.created_by, v.last_seq, v.epoch from c join public.conversations as v using (id) order by 1 $$,
  $$ values ('care', tests.id('ana'), tests.id('doc'), 0::bigint, 0), ('direct', null, tests.id('ana'), 0, 0),
    ('group', null, tests.id('ana'), 0, 0) $$,
  'it is said whose care it is about, and who has started it'
);
select results_eq(
  $$ select distinct patient_id from public.conversation_participants where conversation_id in (select id from c where name = 'care') $$,
  array[tests.id('ana')], 'also of each who takes part'
);
select results_eq(
  $$
    select m.topic, m.event, m.payload ->> 'topic' from realtime.messages as m join c on c.id::text = payload ->> 'conversation_id'
    where c.name = 'care' order by 1
  $$,
  $$
    select 'user:' || tests.id(u), 'conversation_joined', (select topic from c where name = 'care')
    from unnest(array['ana', 'carer', 'doc']) as u order by 1
  $$,
  'each is told on their own channel'
);
select results_eq(
  $$
    select a.action, a.actor_id, a.patient_id, a.new_values from public.audit_events as a join c on c.id = a.resource_id
    where c.name = 'care' and a.new_values ->> 'participant_id' = tests.id('carer')::text
  $$,
  $$ values ('add_participant', tests.id('doc'), tests.id('ana'),
    jsonb_build_object('participant_id', tests.id('carer'), 'role', 'member')) $$,
  'and it is in the trail of the patient'
);

-- Faces: who talks with somebody sees who they are.
update public.profiles set is_public = false;
select is(tests.attempt(actor, 'select display_name from public.public_profiles'), outcome, 'faces for ' || actor)
from (values
  ('ana', 'Ana, Ben, Carer, Cid, Clerk, Doc, Fake'), ('ben', 'Ana, Ben, Cid'), ('carer', 'Ana, Carer, Doc'),
  ('eve', 'Eve')
) as m (actor, outcome);
insert into public.blocks (blocker_id, blocked_id) values (tests.uid('cid'), tests.uid('ben'));
select is(tests.attempt(actor, 'select display_name from public.public_profiles'), outcome,
  'after a block, faces for ' || actor)
from (values ('ben', 'Ana, Ben'), ('cid', 'Ana, Ben, Cid')) as m (actor, outcome);

select * from finish();
rollback;
