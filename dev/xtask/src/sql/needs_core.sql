else
  raise exception 'cannot apply version :number of :part: Supaqueue is not installed in this database'
    using errcode = 'object_not_in_prerequisite_state', hint = 'Apply the migrations of Supaqueue itself first.';
