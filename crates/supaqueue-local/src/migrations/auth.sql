-- Of Auth, what migrations refer to: the users, and who makes a request. No server signs users up here; insert them.
create schema auth;
grant usage on schema auth to postgres, anon, authenticated, service_role;

create table auth.users (
  instance_id uuid,
  id uuid primary key default gen_random_uuid(),
  aud text,
  role text,
  email text unique,
  encrypted_password text,
  email_confirmed_at timestamptz,
  invited_at timestamptz,
  last_sign_in_at timestamptz,
  raw_app_meta_data jsonb,
  raw_user_meta_data jsonb,
  is_super_admin boolean,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  phone text unique,
  phone_confirmed_at timestamptz,
  confirmed_at timestamptz generated always as (least(email_confirmed_at, phone_confirmed_at)) stored,
  banned_until timestamptz,
  is_sso_user boolean not null default false,
  is_anonymous boolean not null default false,
  deleted_at timestamptz
);
alter table auth.users enable row level security;
grant all on auth.users to postgres;
grant select on auth.users to service_role;

create function auth.jwt()
returns jsonb
language sql
stable
as $$
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;

create function auth.uid()
returns uuid
language sql
stable
as $$
  select (auth.jwt() ->> 'sub')::uuid
$$;

create function auth.role()
returns text
language sql
stable
as $$
  select auth.jwt() ->> 'role'
$$;

create function auth.email()
returns text
language sql
stable
as $$
  select auth.jwt() ->> 'email'
$$;
