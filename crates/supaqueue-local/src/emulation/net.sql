-- Emulates pg_net 0.20.4: its tables, functions and privileges. A task of the local stack sends
-- the requests (net.rs).
create schema net;
comment on schema net is 'pg_net, emulated by the local stack of Supaqueue';

create domain net.http_method as text
  check (lower(value) in ('get', 'post', 'delete'));

create unlogged table net.http_request_queue (
  id bigserial,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds int not null
);

create unlogged table net._http_response (
  id bigint,
  status_code int,
  content_type text,
  headers jsonb,
  content text,
  timed_out bool,
  error_msg text,
  created timestamptz not null default now()
);

create index on net._http_response (created);

-- Wakes the worker when the transaction commits; a rollback does not.
create function net.wake()
returns void
language sql
as $$
  select pg_catalog.pg_notify('supaqueue_net_wake', '')
$$;

create function net._urlencode_string(string varchar)
returns text
language sql
immutable
as $$
  select coalesce(
    string_agg(
      case
        when code between 48 and 57 or code between 65 and 90 or code between 97 and 122
          or code in (45, 46, 95, 126) then chr(code)
        else '%' || lpad(upper(to_hex(code)), 2, '0')
      end,
      '' order by place
    ),
    ''
  )
  from (
    select place, get_byte(bytes, place) as code
    from (select convert_to(string, 'UTF8') as bytes) as encoded,
      generate_series(0, length(bytes) - 1) as place
  ) as codes
$$;

create function net._encode_url_with_params_array(url text, params_array text[])
returns text
language sql
immutable
as $$
  select case
    when coalesce(array_length(params_array, 1), 0) = 0 then url
    else url
      || case when position('?' in url) > 0 then '&' else '?' end
      || array_to_string(params_array, '&')
  end
$$;

create function net._enqueue(
  method text, url text, params jsonb, headers jsonb, body bytea, timeout_milliseconds int
)
returns bigint
language plpgsql
as $$
declare
  request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    _enqueue.method,
    net._encode_url_with_params_array(
      _enqueue.url,
      array(
        select net._urlencode_string(key) || '=' || net._urlencode_string(value)
        from jsonb_each_text(params)
      )
    ),
    _enqueue.headers,
    _enqueue.body,
    _enqueue.timeout_milliseconds
  )
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_get(
  url text,
  params jsonb default '{}',
  headers jsonb default '{}',
  timeout_milliseconds int default 5000
)
returns bigint
language sql
as $$
  select net._enqueue('GET', url, params, headers, null, timeout_milliseconds)
$$;

create function net.http_post(
  url text,
  body jsonb default '{}',
  params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}',
  timeout_milliseconds int default 5000
)
returns bigint
language plpgsql
as $$
declare
  content_type text := (
    select value
    from jsonb_each_text(coalesce(headers, '{}'))
    where lower(key) = 'content-type'
    limit 1
  );
begin
  if content_type is null then
    headers := headers || '{"Content-Type": "application/json"}';
  elsif content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  return net._enqueue(
    'POST', url, params, headers, convert_to(body::text, 'UTF8'), timeout_milliseconds
  );
end
$$;

create function net.http_delete(
  url text,
  params jsonb default '{}',
  headers jsonb default '{}',
  timeout_milliseconds int default 5000,
  body jsonb default null
)
returns bigint
language sql
as $$
  select net._enqueue(
    'DELETE', url, params, headers, convert_to(body::text, 'UTF8'), timeout_milliseconds
  )
$$;

-- Raises an error while this database has no worker.
create function net.check_worker_is_up()
returns void
language plpgsql
as $$
begin
  if not exists (
    select from pg_stat_activity
    where application_name like 'pg\_net%' and datname = current_database()
  ) then
    raise exception 'the pg_net background worker is not up';
  end if;
end
$$;

grant usage on schema net to public;
grant all on all sequences in schema net to public;
grant all on all tables in schema net to public;
