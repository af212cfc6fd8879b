create or replace function supaqueue.wake_up_after_update(_queue uuid, _run_at timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  event tid;
begin
  if supaqueue.wake_up(_queue, _run_at => _run_at) then
    insert into supaqueue.wake_up_event as e default values returning e.ctid into event;
    -- By its place: to search the table would set serializable transactions against each other.
    delete from supaqueue.wake_up_event e where e.ctid = event;
  end if;
end
$$;
