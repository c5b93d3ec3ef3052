-- What a worker claimed and did not try: nobody carries the channel, or the provider was busy. Omar is
-- told things by mail.
begin;
select plan(14);

select tests.make_user('omar');
select tests.act_as_owner();
select private.notify(tests.id('omar'), 'emergency_access', '{}');

create function pg_temp.finish(p_outcome jsonb) returns text language plpgsql as $$
declare
  v_row record;
begin
  perform tests.act_as_role('notification_worker');
  select * into v_row from private.claim_deliveries(1, 60);
  perform private.finish_deliveries(jsonb_build_array(
    jsonb_build_object('id', v_row.id, 'claim_token', v_row.claim_token) || p_outcome
  ));
  perform tests.act_as_owner();
  return (
    select concat_ws(' ', d.status, d.attempts, d.failures, d.last_error,
      extract(epoch from d.next_attempt_at - now())::integer,
      case when d.claim_token is not null then 'held' end)
    from public.notification_deliveries as d
  );
end
$$;
create function pg_temp.due() returns void language sql as $$
  update public.notification_deliveries set next_attempt_at = now()
$$;

select is((select count(*)::integer from public.notification_deliveries), 1, 'one mail is due');
select is(pg_temp.finish('{"outcome": "deferred", "retry_after_seconds": 30, "error_code": "busy"}'),
  'pending 0 0 30', 'one that was deferred is due when it says, and no attempt of it counts');
select is((select count(*)::integer from private.claim_deliveries(10, 60)), 0,
  'until then nobody has it');
select pg_temp.due();
select is(pg_temp.finish('{"outcome": "deferred"}'), 'pending 0 0 0', 'without a time it is due at once');
select is(pg_temp.finish('{"outcome": "deferred", "retry_after_seconds": -5}'), 'pending 0 0 0',
  'and so it is with one that is past');
select is(pg_temp.finish('{"outcome": "deferred", "retry_after_seconds": 1e9}'), 'pending 0 0 86400',
  'it waits for a day at most');
select pg_temp.due();

-- An attempt that failed stays what it was, however often the delivery is deferred after.
select matches(pg_temp.finish('{"outcome": "retry", "error_code": "http_500"}'),
  '^pending 1 1 http_500 1\d$', 'one that failed waits for the usual time');
select pg_temp.due();
select is(pg_temp.finish('{"outcome": "deferred", "retry_after_seconds": 5, "error_code": "busy"}'),
  'pending 1 1 http_500 5', 'a deferral after it changes neither the counts nor the error');
-- After the last attempt, too: a deferral gives nobody up.
update public.notification_deliveries set attempts = 5, failures = 5, next_attempt_at = now();
select is(pg_temp.finish('{"outcome": "deferred", "retry_after_seconds": 5}'),
  'pending 5 5 http_500 5', 'a deferral never makes one dead');
-- As many deferrals as would be too many lost workers.
update public.notification_deliveries set attempts = 0, failures = 0, next_attempt_at = now();
select is((select count(*)::integer from generate_series(1, 30)
    where pg_temp.finish('{"outcome": "deferred"}') like 'pending 0 0 %'), 30,
  'deferred however often, it counts as in nobody''s hand');

select is(pg_temp.finish('{"outcome": "suppressed", "error_code": "not_configured"}'),
  'suppressed 1 0 not_configured 60', 'one that nobody carries is suppressed, and says why');
select is((select count(*)::integer from private.claim_deliveries(10, 60)), 0,
  'and nobody tries it again');
select is((select count(*)::integer from private.retired_addresses), 0, 'its address is as good as ever');
select is((select count(*)::integer from public.notifications where kind = 'delivery_dead'), 0,
  'no administrator is troubled');

select * from finish();
rollback;
