-- Propagates changes of jobs to their targets, level by level: a target whose last source succeeded becomes
-- pending, the targets of a failed source are cancelled, and so on. Stops after _limit targets, and at
-- those that other transactions hold, and leaves the rest to the tick. Only the first level waits for locks:
-- whoever holds some and waits for more could deadlock.
create or replace function supaqueue.propagate(
  _changes supaqueue.propagation[], _requeued uuid[] default '{}', _limit integer default 1000,
  may_wait boolean default true
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  targets supaqueue.target_change[];
begin
  loop
    targets := supaqueue.affected_targets(_changes, _requeued, _limit, may_wait);
    exit when targets = '{}';
    _limit := greatest(_limit - cardinality(targets), 0);
    _changes := supaqueue.update_targets(targets);
    _requeued := '{}';
    may_wait := false;
  end loop;
end
$$;
