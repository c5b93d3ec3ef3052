-- Who may do what in moderation. No row here: not allowed.
--   blocks  authenticated  select, insert, delete  one's own: whom the caller has blocked
-- Nobody learns who has blocked them.

alter table public.blocks enable row level security;
revoke all on table public.blocks from public, anon, authenticated, service_role;
grant select, delete on table public.blocks to authenticated;
grant insert (blocker_id, blocked_id) on table public.blocks to authenticated;

create policy blocks_select_authenticated on public.blocks
  for select to authenticated
  using ((select private.session_is_live()) and blocker_id = (select auth.uid()));

create policy blocks_insert_authenticated on public.blocks
  for insert to authenticated
  with check ((select private.session_is_live()) and blocker_id = (select auth.uid()));

create policy blocks_delete_authenticated on public.blocks
  for delete to authenticated
  using ((select private.session_is_live()) and blocker_id = (select auth.uid()));
