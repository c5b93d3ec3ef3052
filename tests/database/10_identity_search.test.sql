-- search_patients: names of patients whose registry row the caller may see, page by page. Doc, a
-- doctor who signed up as a patient once, has the charts of fourteen patients open; ina and ira,
-- also patients, are in nobody's care; closed's chart is closed. Of p01 carer may see the records,
-- helper the messages.
begin;
select plan(51);

select tests.make_user('doc', 'doctor'), tests.make_user('carer', 'caregiver'),
  tests.make_user('helper', 'caregiver');
create temp table people (handle text, first_name text, last_name text);
insert into people values
  ('p01', 'Ananya', 'Rao'), ('p02', 'Ananya', 'Rao'), ('p03', 'Ananya', 'Rao'),
    ('p04', 'Bela', 'Rao'),
  ('p05', null, 'Rao'), ('p06', 'Ananya', null), ('p07', null, null), ('p08', 'Zoë', 'Øst'),
  ('p09', '100%', 'Under_score'), ('p10', 'Back\slash', 'O''Hara'), ('p11', 'ananya', 'rao'),
  ('p12', 'An', 'Aya Rao'), ('p13', null, null), ('p14', 'x', 'y'),
  ('closed', 'Ananya', 'Rao'), ('ina', 'Ananya', 'Rao'), ('ira', '%', '_');
select tests.make_user(handle) from people;
update public.patients as p set first_name = h.first_name, last_name = h.last_name,
  cancer_type = 'breast'
from people as h where p.id = tests.id(h.handle);
select tests.open_chart(handle, 'doc') from people where handle ~ '^p\d';
select tests.open_chart('closed', 'doc', closed => true);
select tests.make_care('p01', 'helper', p_scopes => array['messages', 'sensitive']);
select tests.open_chart('p01', 'carer'), tests.open_chart('p01', 'helper');

create function pg_temp.found(p_query text,
  p_actor text default 'doc') returns text language sql as $$
  select tests.attempt(p_actor, format($q$
    select h.handle from public.search_patients(%L, 100) as s
      join pg_temp.people as h on tests.id(h.handle) = s.id
  $q$, p_query))
$$;
grant select on people to public;

-- Whom -------------------------------------------------------------------------------------------

select is(pg_temp.found(null),
  'p01, p02, p03, p04, p05, p06, p07, p08, p09, p10, p11, p12, p13, p14',
  'a doctor finds the patients whose charts are open, and no others');
select is(pg_temp.found(null, actor), names, format('%s finds: %s', actor, names))
from (values
  ('carer', 'p01'), ('helper', 'nothing'), ('p01', 'p01'), ('ina', 'ina'), ('doc@aal1', 'nothing'),
  ('anon', '42501 grant'), ('service_role', '42501 grant')
) as m (actor, names);
select is(tests.attempt('doc', 'select id from public.search_patients()', standing),
  'PT401 unauthenticated', format('a doctor who is %s finds nobody', standing))
from unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;

-- By what ----------------------------------------------------------------------------------------

select is(pg_temp.found(query), names, format('"%s" finds: %s', query, names))
from (values
  ('', 'p01, p02, p03, p04, p05, p06, p07, p08, p09, p10, p11, p12, p13, p14'),
  ('   ', 'p01, p02, p03, p04, p05, p06, p07, p08, p09, p10, p11, p12, p13, p14'),
  ('ananya rao', 'p01, p02, p03, p11'),
  (' Ananya Rao ', 'p01, p02, p03, p11'),
  ('BELA', 'p04'),
  ('a r', 'p01, p02, p03, p04, p11, p12'),
  ('Zoë', 'p08'),
  ('%', 'p09'),
  ('_', 'p09'),
  ('\', 'p10'),
  ('\%', 'nothing'),
  ('o''h', 'p10'),
  ('''; drop table public.patients; --', 'nothing'),
  ('Ina', 'nothing'),
  (repeat('x', 100000), 'nothing')
) as q (query, names);

-- What of them, in which order --------------------------------------------------------------------

select tests.act_as('doc');
select results_eq(
  $$ select first_name, last_name, cancer_type from public.search_patients('ananya rao') $$,
  $$ values ('Ananya', 'Rao', 'breast'), ('Ananya', 'Rao', 'breast'), ('Ananya', 'Rao', 'breast'),
    ('ananya', 'rao', 'breast') $$,
  'names in the order of last name, first name'
);
select tests.act_as_owner();

-- Page by page -----------------------------------------------------------------------------------

create function pg_temp.pages(p_limit integer) returns table (page integer,
  id uuid) language plpgsql as $$
declare
  v_cursor text;
  v_row record;
begin
  perform tests.act_as('doc');
  for v_page in 1..30 loop
    page := v_page;
    v_row := null;
    for v_row in select s.id, s.cursor
      from public.search_patients(null, p_limit, v_cursor) as s loop
      id := v_row.id;
      return next;
    end loop;
    exit when v_row is null;
    v_cursor := v_row.cursor;
  end loop;
  perform tests.act_as_owner();
end
$$;
create temp table whole as
  select array_agg(id) as ids from pg_temp.pages(100);
select is((select cardinality(ids) from whole), 15,
  'one page of a hundred holds all, the doctor''s own row too');
select is((select array_agg(id) from pg_temp.pages(size)), (select ids from whole),
  format('pages of %s lose nobody, double nobody and keep the order', size))
from unnest(array[1, 2, 3, 5, 14, 15]) as size;
select is((select max(count) from (select count(*) from pg_temp.pages(5) group by page) as p),
  5::bigint,
  'a page has as many as asked for');

select is_empty(
  $$
    select x from unnest(string_to_array(tests.attempt('p01', format(
      'select id from public.search_patients(null, 100, %L)',
      private.make_cursor(jsonb_build_array('', '', '00000000-0000-0000-0000-000000000000'))
    )), ', ')) as x where x <> tests.id('p01')::text
  $$,
  'a cursor gives no right'
);

select is(tests.attempt('doc', format('select id from public.search_patients(%s)', arguments)),
  'PT400 invalid_request', format('search_patients(%s)', arguments))
from unnest(array[
  'null, 0', 'null, 101', 'null, -1', 'null, null', $$null, 5, 'nonsense'$$, $$null, 5, ''$$,
  $$null, 5, encode('["a", "b", "c"]', 'base64')$$,
  $$null, 5, encode('["a", "b", null]', 'base64')$$,
  $$null, 5, encode('["a", "b", 1]', 'base64')$$,
  $$null, 5, encode('[null, null, {}]', 'base64')$$,
  $$null, 5, encode(format('[null, "b", "%s"]', tests.id('p01'))::bytea, 'base64')$$,
  $$null, 5, encode('["a", "b"]', 'base64')$$, $$null, 5, encode('{"a": 1}', 'base64')$$
]) as arguments;

select * from finish();
rollback;
