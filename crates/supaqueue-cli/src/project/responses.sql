-- Returns pg_net's responses to some requests; waits up to four seconds for all of them.
create or replace function pg_temp.supaqueue_answers(requests bigint[]) returns jsonb
language plpgsql set search_path = '' as $$
declare
  answers jsonb;
begin
  for attempt in 1..20 loop
    select jsonb_object_agg(r.id, jsonb_build_object(
      'status', r.status_code, 'content', left(r.content, 2000), 'timed_out', r.timed_out, 'error', r.error_msg))
    into answers
    from net._http_response r
    where r.id = any (requests);
    exit when (select count(*) from jsonb_object_keys(answers)) = cardinality(requests);
    perform pg_sleep(0.2);
  end loop;
  return coalesce(answers, '{}');
end
$$;
