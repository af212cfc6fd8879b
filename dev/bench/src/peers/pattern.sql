-- The pattern that Supabase documents for automatic embeddings: a job of pg_cron reads messages of a
-- queue of pgmq, deals them to a number of requests, and sends these with pg_net to a function.
--
-- The queue is a plain table with the columns, the index and the statements of pgmq, because pgmq is in
-- no package registry.
create schema pattern;

create table pattern.message (
  msg_id bigint primary key generated always as identity,
  read_ct integer not null default 0,
  enqueued_at timestamptz not null default now(),
  vt timestamptz not null default clock_timestamp(),
  message jsonb,
  headers jsonb
);
create index on pattern.message (vt);

-- As pgmq.read: messages that nobody else will read for `seconds`.
create function pattern.read(seconds integer, quantity integer)
returns setof pattern.message
language sql
as $$
  with next as (
    select m.msg_id
    from pattern.message m
    where m.vt <= clock_timestamp()
    order by m.msg_id
    limit quantity
    for update skip locked
  )
  update pattern.message m
  set vt = clock_timestamp() + make_interval(secs => seconds), read_ct = m.read_ct + 1
  from next
  where m.msg_id = next.msg_id
  returning m.*
$$;

-- Sends at most `requests` requests with at most `batch` messages each. Unlike the documented function, it
-- waits for the messages in process, so that no more calls than requests are in flight, and it deals the
-- messages evenly, so that they start earlier.
create function pattern.process(requests integer, batch integer)
returns void
language plpgsql
as $$
begin
  if exists (select from pattern.message m where m.vt > clock_timestamp()) then
    return;
  end if;
  perform net.http_post(
    (select s.decrypted_secret from vault.decrypted_secrets s where s.name = 'supaqueue_url') || '/functions/v1/pattern',
    jsonb_agg(jsonb_build_object('id', dealt.msg_id, 'payload', dealt.message) order by dealt.msg_id),
    timeout_milliseconds => 60000)
  from (
    select r.msg_id, r.message, row_number() over (order by r.msg_id) % requests as request
    from pattern.read(60, requests * batch) r
  ) as dealt
  group by dealt.request;
end
$$;

-- As pgmq.delete, for the function.
create function public.delete_message(id bigint)
returns void
language sql
security definer
set search_path = ''
as $$
  delete from pattern.message m where m.msg_id = delete_message.id
$$;
revoke execute on function public.delete_message from public, anon, authenticated;
