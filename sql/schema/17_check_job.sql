-- Refuses to store a job, under the name of the rule that it breaks.
--
-- Rules are not check constraints: each update of a job reads the text of all of
-- those and evaluates them, and the engine updates each job at least twice. They
-- were a sixth of what a report costs, and far more for a large payload.
create or replace function supaqueue.refuse_job(rule text, problem text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  raise exception 'cannot store the job: %', problem
    using errcode = 'check_violation', constraint = rule, schema = 'supaqueue', table = 'job';
end
$$;

-- Refuses what makes no sense of what only a user sets. See before_update_job_tg for
-- what the engine sets, too.
create or replace function supaqueue.check_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  rule text;
  problem text;
begin
  if new.payload = 'null' then
    rule := 'payload_is_not_json_null';
    problem := 'its payload is JSON null; leave it out, or use {}';
  elsif octet_length(new.payload::text) > 5000000 then
    rule := 'payload_is_at_most_5_mb';
    problem := 'its payload is larger than 5 MB; store it elsewhere, and send where it is';
  elsif new.max_attempts < 1 then
    rule := 'max_attempts_is_positive';
    problem := 'its max_attempts is less than 1';
  elsif new.timeout_ms < 1 then
    rule := 'timeout_is_positive';
    problem := 'its timeout_ms is less than 1';
  elsif new.timeout_ms > 380000 then
    rule := 'timeout_is_at_most_380_seconds';
    problem := 'its timeout_ms is more than 380000, which the platform cannot hold';
  elsif not supaqueue.is_headers(new.headers) then
    rule := 'headers_are_an_object_of_strings';
    problem := 'its headers are not an object of strings with names and values that HTTP allows';
  end if;
  if rule is not null then
    perform supaqueue.refuse_job(rule, problem);
  end if;
  return new;
end
$$;

create or replace trigger check_job_tg
before insert or update of payload, max_attempts, timeout_ms, headers on supaqueue.job
for each row
execute function supaqueue.check_job_tg_fn();
