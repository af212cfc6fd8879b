do $$
begin
  if to_regclass('supaqueue.version') is null then
    raise exception 'cannot apply version :number of :part: Supaqueue is not installed in this database'
      using errcode = 'object_not_in_prerequisite_state', hint = 'Run `supaqueue install` first.';
  end if;
end
$$;
