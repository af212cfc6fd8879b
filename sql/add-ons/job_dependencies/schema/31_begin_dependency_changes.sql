-- Returns true for the first change to dependencies since the last counting: the caller must record
-- it so that its trigger counts all changes at the commit.
--
-- Queues that the transaction has woken before are taken from the core's list and dispatched after
-- the counting: a dispatch holds the locks of queues, and a report on which the counting blocks may
-- need them.
create or replace function supaqueue.begin_dependency_changes()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  woken record;
begin
  if current_setting('supaqueue.has_dependency_changes', true) = 'on' then
    return false;
  end if;
  perform set_config('supaqueue.has_dependency_changes', 'on', true);
  woken := supaqueue.take_wake_ups();
  perform set_config('supaqueue.queues_after_dependencies', woken.queues::text, true);
  perform set_config('supaqueue.usable_workers_after_dependencies', woken.has_usable_workers::text, true);
  return true;
end
$$;
