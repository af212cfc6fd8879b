-- For updates of jobs, which after_update_job_tg looks at: the event of such a transaction is that
-- of a row here, which is gone at once. The condition of a trigger on the job table would be read
-- from its text by each report twice, which was 7 % of what a report costs.
--
-- Unlogged: there is nothing to keep, and a publication of all tables has no part in it. It would
-- refuse to let a row go from a table without a key.
create unlogged table supaqueue.wake_up_event (
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.wake_up_event enable row level security;
comment on table supaqueue.wake_up_event is 'Always empty: Supaqueue has a transaction end with a dispatch by writing and deleting a row here';
