-- Emulates supabase_vault 0.3.1: its table, view, functions and privileges. Secrets are encrypted
-- with pgcrypto, using a key that only the owner of this schema can read.
create schema vault;
comment on schema vault is 'supabase_vault, emulated by the local stack of Supaqueue';

create table vault.emulation_key (key bytea not null);
insert into vault.emulation_key (key) values (extensions.gen_random_bytes(32));

create function vault._crypto_aead_det_noncegen()
returns bytea
language sql
as $$
  select extensions.gen_random_bytes(16)
$$;

-- A digest before the message tells whether it can be decrypted.
create function vault._crypto_aead_det_encrypt(
  message bytea, additional bytea, key_id bigint, context bytea default 'pgsodium', nonce bytea default null
)
returns bytea
language sql
stable
security definer
set search_path = ''
as $$
  select extensions.encrypt_iv(sha256(message) || message, k.key, nonce, 'aes-cbc') from vault.emulation_key as k
$$;

create function vault._crypto_aead_det_decrypt(
  message bytea, additional bytea, key_id bigint, context bytea default 'pgsodium', nonce bytea default null
)
returns bytea
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  decrypted bytea;
begin
  begin
    select extensions.decrypt_iv(message, k.key, nonce, 'aes-cbc') into decrypted from vault.emulation_key as k;
  exception when others then
    decrypted := null;
  end;
  if (sha256(substring(decrypted from 33)) = substring(decrypted from 1 for 32)) is not true then
    raise data_exception using message = 'pgsodium_crypto_aead_det_decrypt_by_id: invalid ciphertext';
  end if;
  return substring(decrypted from 33);
end
$$;

create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  key_id uuid,
  nonce bytea default vault._crypto_aead_det_noncegen(),
  created_at timestamptz not null default current_timestamp,
  updated_at timestamptz not null default current_timestamp
);

create unique index secrets_name_idx on vault.secrets (name) where name is not null;

create view vault.decrypted_secrets as
select
  s.id,
  s.name,
  s.description,
  s.secret,
  convert_from(
    vault._crypto_aead_det_decrypt(
      message => decode(s.secret, 'base64'),
      additional => convert_to(s.id::text, 'utf8'),
      key_id => 0,
      nonce => s.nonce
    ),
    'utf8'
  ) as decrypted_secret,
  s.key_id,
  s.nonce,
  s.created_at,
  s.updated_at
from vault.secrets as s;

create function vault.create_secret(
  new_secret text, new_name text default null, new_description text default '', new_key_id uuid default null
)
returns uuid
language sql
security definer
set search_path = ''
as $$
  insert into vault.secrets (secret, name, description, nonce)
  select
    encode(
      vault._crypto_aead_det_encrypt(convert_to(new_secret, 'utf8'), null, 0, nonce => fresh.nonce), 'base64'
    ),
    new_name,
    new_description,
    fresh.nonce
  from vault._crypto_aead_det_noncegen() as fresh (nonce)
  returning id
$$;

create function vault.update_secret(
  secret_id uuid,
  new_secret text default null,
  new_name text default null,
  new_description text default null,
  new_key_id uuid default null
)
returns void
language sql
security definer
set search_path = ''
as $$
  -- Like the original, it reads the old secret first, and so fails on one that cannot be decrypted.
  select d.decrypted_secret from vault.decrypted_secrets as d where d.id = secret_id;
  update vault.secrets as s
  set
    secret = coalesce(
      encode(
        vault._crypto_aead_det_encrypt(convert_to(new_secret, 'utf8'), null, 0, nonce => s.nonce), 'base64'
      ),
      s.secret
    ),
    name = coalesce(new_name, s.name),
    description = coalesce(new_description, s.description),
    updated_at = now()
  where s.id = secret_id
$$;

revoke all on all functions in schema vault from public;
grant usage on schema vault to postgres, service_role;
grant select, delete, truncate, references on vault.secrets, vault.decrypted_secrets to postgres;
grant select, delete on vault.secrets, vault.decrypted_secrets to service_role;
grant execute on function
  vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt
to postgres, service_role;
