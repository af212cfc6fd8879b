-- Everything Supaqueue keeps in a database lives in one schema, out of the
-- API's reach: only postgres and service_role may use it.

create schema supaqueue;
comment on schema supaqueue is 'Supaqueue: queues of calls to edge functions';

-- pgcrypto signs what is sent to the supaqueue function.
create schema if not exists extensions;
create extension if not exists pgcrypto with schema extensions;
