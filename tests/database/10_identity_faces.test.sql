-- The view of public faces: what it hides, no condition of the reader's own gets to see. Pia is
-- hidden, omar is public.
begin;
select plan(3);

select tests.make_user(u) from unnest(array['pia', 'omar', 'eve']) as u;
update public.profiles set is_public = true where id = tests.uid('omar');

create temp table overheard (name text);
grant insert on overheard to authenticated;
-- Costs next to nothing, so that the planner would ask it before the conditions of the view.
create function pg_temp.overhear(p_name text)
  returns boolean
  language plpgsql
  cost 0.000001
as $$
begin
  insert into overheard values (p_name);
  return true;
end;
$$;

select tests.act_as('eve');
select set_eq(
  'select display_name from public.public_profiles where pg_temp.overhear(display_name)',
  array['Eve', 'Omar'], 'eve sees herself and who is public'
);
select set_eq(
  'select display_name from private.visible_profiles where pg_temp.overhear(display_name)',
  array['Eve', 'Omar'], 'below the API, too'
);
select tests.act_as_owner();
select set_eq('select name from overheard', array['Eve', 'Omar'],
  'a function in her condition is given no other row');

select * from finish();
rollback;
