-- The id of a queue by its name, or an error that says what to do.
create or replace function supaqueue.queue_id(queue_name text)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  id uuid := (select q.id from supaqueue.queue q where q.name = queue_name);
begin
  if id is null and not has_table_privilege('supaqueue.job', 'insert') then
    raise exception 'permission denied: % may not insert jobs', current_user
      using errcode = 'insufficient_privilege',
        hint = 'Call this from a function that is "security definer" and owned by postgres, with a fixed search_path.';
  end if;
  if id is null then
    raise exception 'there is no queue named %', coalesce(quote_literal(queue_name), 'null')
      using errcode = 'undefined_object',
        hint = 'Create it: insert into supaqueue.queue (name, edge_function_name) values (…). The existing ones: select name from supaqueue.queue.';
  end if;
  return id;
end
$$;
