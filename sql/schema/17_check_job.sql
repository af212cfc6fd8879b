-- Refuses to store a job, under the name of the rule that it breaks.
--
-- These rules are not check constraints: every update of a job would parse and evaluate
-- all of them, and each job is updated at least twice. As constraints they took a sixth
-- of the time of a report, and far more for a large payload.
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

-- The first rule that what only users set breaks; null: none. before_write_job_tg_fn checks the rest, and
-- hold_key the keys.
create or replace function supaqueue.broken_rule(
  payload jsonb, max_attempts integer, timeout_ms integer, headers jsonb, path text, tenant text, out rule text, out problem text
)
language plpgsql
immutable
set search_path = ''
as $$
begin
  if payload = 'null' then
    rule := 'payload_is_not_json_null';
    problem := 'its payload is JSON null; leave it out, or use {}';
  elsif octet_length(payload::text) > 5000000 then
    rule := 'payload_is_at_most_5_mb';
    problem := 'its payload is larger than 5 MB; store it elsewhere, and send where it is';
  elsif max_attempts not between 1 and 1000000 then
    rule := 'max_attempts_is_between_1_and_1000000';
    problem := 'its max_attempts is not between 1 and 1000000';
  elsif timeout_ms < 1 then
    rule := 'timeout_is_positive';
    problem := 'its timeout_ms is less than 1';
  elsif timeout_ms > 150000 then
    rule := 'timeout_is_at_most_150_seconds';
    problem := 'its timeout_ms is more than 150000: the platform ends requests that have no answer after 150 s';
  elsif not supaqueue.is_headers(headers) then
    rule := 'headers_are_an_object_of_strings';
    problem := 'its headers are not an object of strings with names and values that HTTP allows';
  elsif octet_length(headers::text) > 16384 then
    rule := 'headers_are_at_most_16_kb';
    problem := 'its headers are larger than 16 kB; put the data into the payload';
  elsif length(path) > 2000 then
    rule := 'path_is_at_most_2000_characters';
    problem := 'its path is longer than 2000 characters; put the data into the payload';
  elsif path ~ '[\u0001-\u0020\u007F\\#]' then
    rule := 'path_has_no_spaces_control_characters_backslashes_or_fragment';
    problem := 'its path has a space, a control character, a backslash or a #; percent-encode it';
  elsif not supaqueue.is_below_function(path) then
    rule := 'path_has_no_leading_slash_and_no_empty_or_dot_segments';
    problem := 'its path has a leading slash, or an empty segment, or the segment . or ..; write it like users/welcome?lang=de';
  elsif octet_length(tenant) not between 1 and 2000 then
    rule := 'tenant_is_of_1_to_2000_bytes';
    problem := 'its tenant is empty, or longer than 2000 bytes; use an id, or leave it out';
  end if;
end
$$;

create or replace function supaqueue.check_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  broken record := supaqueue.broken_rule(new.payload, new.max_attempts, new.timeout_ms, new.headers, new.path, new.tenant);
begin
  if broken.rule is not null then
    perform supaqueue.refuse_job(broken.rule, broken.problem);
  end if;
  return new;
end
$$;

create or replace trigger check_job_tg
before insert or update of payload, max_attempts, timeout_ms, headers, path, tenant on supaqueue.job
for each row
execute function supaqueue.check_job_tg_fn();
