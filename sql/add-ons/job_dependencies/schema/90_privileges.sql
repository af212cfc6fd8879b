select supaqueue.protect_new_objects('{"job_dependencies": "insert, update, delete"}');
