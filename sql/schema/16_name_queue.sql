-- Gives a queue without a name that of its function, numbered if taken.
create or replace function supaqueue.before_insert_queue_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  number integer := 1;
begin
  -- Two queues named at the same moment would take the same number.
  perform pg_advisory_xact_lock(hashtextextended('supaqueue.queue.name', 0));
  new.name := new.edge_function_name;
  while exists (select from supaqueue.queue q where q.name = new.name) loop
    number := number + 1;
    new.name := new.edge_function_name || '_' || number;
  end loop;
  return new;
end
$$;

create or replace trigger before_insert_queue_tg
before insert on supaqueue.queue
for each row when (new.name is null)
execute function supaqueue.before_insert_queue_tg_fn();
