-- What becomes of files that no message has: a message takes only what was uploaded within the hour,
-- and what is in none two hours after its upload may be removed by the worker, and nothing else.
begin;
select plan(15);

select tests.make_user(u) from unnest(array['ana', 'ben']) as u;
update public.profiles set is_public = true;
insert into storage.buckets (id, name) values ('chat-attachments', 'chat-attachments'), ('elsewhere', 'elsewhere')
on conflict do nothing;
create temp table c (id uuid);
create function pg_temp.path(p_file text) returns text language sql as $$
  select (select id from c) || '/' || tests.id(p_file)
$$;
select tests.act_as('ana');
create temp table started as select (public.start_conversation(array[tests.uid('ben')], 'direct')).id;
select tests.act_as_owner();
insert into c select id from started;

insert into storage.objects (bucket_id, name, owner_id, created_at)
select bucket, pg_temp.path(file), tests.uid('ana')::text, now() - age::interval
from (values
  ('chat-attachments', 'new', '0'),
  ('chat-attachments', 'just in time', '59 minutes 59 seconds'),
  ('chat-attachments', 'an hour old', '1 hour'),
  ('chat-attachments', 'two hours old', '2 hours'),
  ('chat-attachments', 'older', '2 hours 1 second'),
  ('chat-attachments', 'sent', '0'),
  ('chat-attachments', 'sent and deleted', '0'),
  ('chat-attachments', 'oldest', '1 year'),
  ('elsewhere', 'elsewhere', '1 year')
) as t (bucket, file, age);

create function pg_temp.send(p_file text, p_client_id text) returns text language sql as $$
  select tests.attempt('ana', format(
    'select (public.send_message(%L, null, %L, ''file'', %L)).kind',
    (select id from c), p_client_id,
    jsonb_build_object('path', pg_temp.path(p_file), 'mime', 'application/pdf', 'size', 100)
  ))
$$;
select is(pg_temp.send(file, file), outcome, format('a message takes a file that is %s: %s', file, outcome))
from (values
  ('new', 'file'), ('just in time', 'file'), ('an hour old', 'PT404 not_found'),
  ('two hours old', 'PT404 not_found'), ('oldest', 'PT404 not_found'), ('elsewhere', 'PT404 not_found')
) as t (file, outcome);

-- Those that are sent, sent again by who has no answer, and deleted.
select tests.act_as('ana');
create temp table sent as
select file, (public.send_message(
  (select id from started), null, file, 'file',
  jsonb_build_object('path', (select id from started) || '/' || tests.id(file), 'mime', 'application/pdf', 'size', 100)
)).id
from unnest(array['sent', 'sent and deleted']) as file;
select public.delete_message(id) from sent where file = 'sent and deleted';
select tests.act_as_owner();
update storage.objects set created_at = now() - interval '3 hours'
where name in (pg_temp.path('sent'), pg_temp.path('sent and deleted'));
select is(pg_temp.send('sent', 'sent'), 'file', 'what was sent in time is answered again at any time');

create function pg_temp.unused(p_limit integer) returns text language sql as $$
  select tests.attempt('records_worker', format(
    'select path from private.unused_attachments(%s) as path', p_limit
  ))
$$;
select is(
  pg_temp.unused(10),
  (
    select string_agg(pg_temp.path(file), ', ' order by pg_temp.path(file))
    from unnest(array['oldest', 'sent and deleted', 'older']) as file
  ),
  'unused is what is over two hours old and in no message: never sent, or deleted'
);
select is(pg_temp.unused(1), pg_temp.path('oldest'), 'the oldest first');
select is(pg_temp.unused(2),
  (select string_agg(p, ', ' order by p) from unnest(array[pg_temp.path('oldest'), pg_temp.path('sent and deleted')]) as p),
  'then the next');
select is(tests.attempt(actor, 'select private.unused_attachments(1)'), '42501 grant', actor || ' may not ask for them')
from unnest(array['ana', 'service_role', 'keys_worker']) as actor;

-- Both sides of the two hours.
update storage.objects set created_at = now() - interval '2 hours'
where name in (pg_temp.path('oldest'), pg_temp.path('sent and deleted'), pg_temp.path('older'));
select is(pg_temp.unused(10), 'nothing', 'at two hours a file stays yet');
update storage.objects set created_at = now() - interval '2 hours 1 second'
where name = pg_temp.path('sent and deleted');
select is(pg_temp.unused(10), pg_temp.path('sent and deleted'), 'and after it goes');

select * from finish();
rollback;
