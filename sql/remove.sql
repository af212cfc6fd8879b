-- Removes Supaqueue from a database: the tick, the schema with all queues and
-- jobs, the functions in public, and the secrets in the Vault. Run as postgres.
-- Running it twice is fine. It drops foreign keys and views of others that
-- point into the schema supaqueue.

do $$
begin
  if to_regclass('cron.job') is not null then
    perform cron.unschedule(j.jobid) from cron.job j where j.jobname = 'supaqueue_tick';
  end if;
  if to_regclass('vault.secrets') is not null then
    delete from vault.secrets s where s.name in (
      'supaqueue_secret', 'supaqueue_secret_next', 'supaqueue_secret_previous', 'supaqueue_url', 'supaqueue_anon_key'
    );
  end if;
end
$$;

drop function if exists public.end_current_job(uuid, boolean, boolean, jsonb, jsonb);
drop function if exists public.end_current_jobs(uuid, jsonb);
drop function if exists public.supaqueue_pulse(uuid, integer, jsonb);
drop function if exists public.supaqueue_enqueue(text, jsonb, jsonb);
drop function if exists public.supaqueue_enqueue_many(text, jsonb);

do $$
begin
  -- All tables at once: taken one by one, they could deadlock with a tick or a report.
  if to_regproc('supaqueue.take_tables') is not null then
    perform supaqueue.take_tables();
  end if;
  drop schema if exists supaqueue cascade;
end
$$;
