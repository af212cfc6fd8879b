select supaqueue.protect_new_objects('{
  "queue": "insert, update, delete",
  "worker": "insert, update, delete",
  "job": "insert, update, delete",
  "setting": "update"
}');
