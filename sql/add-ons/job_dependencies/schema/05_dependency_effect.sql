-- What one source contributes to the counts of a target.
create or replace view supaqueue.dependency_effect with (security_invoker = true) as
select
  s.status,
  f.on_failure,
  case when s.state = 'open' or (s.state = 'failed' and f.on_failure = 'wait') then 1 else 0 end as unfinished,
  case when s.state = 'failed' and f.on_failure = 'fail' then 1 else 0 end as failed
from (values
  ('pending', 'open'), ('waiting', 'open'), ('in_progress', 'open'),
  ('successful', 'successful'), ('failed', 'failed'), ('cancelled', 'failed')
) as s (status, state)
cross join (values ('fail'), ('wait'), ('continue')) as f (on_failure);
comment on view supaqueue.dependency_effect is 'What a source adds to the counts in supaqueue.dependent_job, by its status and on_failure';
