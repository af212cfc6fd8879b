select supaqueue.protect_new_objects(
  '{"job_dependencies": "insert, update, delete"}',
  array['enqueue', 'enqueue_outcome', 'enqueue_pipeline', 'pipeline_problem', 'find_cycle', 'pipeline', 'pipeline_mermaid', 'explain_waiting', 'edges_of', 'connected', 'show_pipeline', 'list_pipelines']
);
