-- Counts changes of targets, and sets the statuses that follow (decide_targets). Returns the targets whose
-- status changed, to be propagated by the caller: the trigger on job leaves them alone.
--
-- The update is planned each time, since it cannot have plan settings.
create or replace function supaqueue.update_targets(_changes supaqueue.target_change[])
returns supaqueue.propagation[]
language plpgsql
set search_path = public, extensions
as $$
declare
  outer_depth text := coalesce(current_setting('supaqueue.own_change_depth', true), '');
  decided record := supaqueue.decide_targets(_changes);
  changed record;
begin
  if decided.places is null then
    return '{}';
  end if;
  perform set_config('supaqueue.own_change_depth', pg_trigger_depth()::text, true);
  execute $update$
    with changed as (
      update supaqueue.job j
      set status = v.new_status, errors = v.errors
      from unnest($1, $2, $3, $4) as v (place, old_status, new_status, errors)
      where j.ctid = v.place
      returning j.id, v.old_status, j.status as new_status
    )
    select array_agg(c.id) as jobs, array_agg(c.old_status) as old_statuses, array_agg(c.new_status) as new_statuses
    from changed c
  $update$
  into changed
  using decided.places, decided.old_statuses, decided.new_statuses, decided.errors;
  perform set_config('supaqueue.own_change_depth', outer_depth, true);
  return supaqueue.with_dependencies(changed.jobs, changed.old_statuses, changed.new_statuses);
end
$$;
