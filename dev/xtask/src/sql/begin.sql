do $$
declare
  installed integer;
begin
  if to_regclass('supaqueue.version') is not null then
    execute 'select max(v.number) from supaqueue.version v where v.part = $1' into installed using ':part';
  end if;
  if coalesce(installed, 0) <> :previous then
    raise exception 'cannot apply version :number of :part: this database has %', coalesce('version ' || installed, 'none')
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'Nothing was changed. `supaqueue install` applies the versions that are missing.';
  end if;
  -- Before anything is changed: a busy project uses the tables all the time.
  if to_regproc('supaqueue.take_tables') is not null then
    perform supaqueue.take_tables();
  end if;
  -- Forgotten at the end of the transaction, so that `end` notices where there was none.
  perform set_config('supaqueue.applying', ':part :number', true);
end
$$;
