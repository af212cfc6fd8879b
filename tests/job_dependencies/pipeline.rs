//! A pipeline as rows and as a Mermaid graph.

use crate::database::AddOnDb;

#[tokio::test]
async fn a_pipeline_consists_of_all_jobs_connected_with_a_job() {
    let db = AddOnDb::new(1).await;
    db.run(
        "begin; select add_jobs('q', 'a', 'b', 'c', 'd', 'x', 'y');
         select wait_for('c', 'a'), wait_for('c', 'b'), wait_for('d', 'c'), wait_for('y', 'x'); commit",
    )
    .await;
    for job in ["a", "b", "c", "d"] {
        assert_eq!(
            db.get(&format!(
                "select j.payload ->> 'name', p.queue, p.status, p.attempts, cardinality(p.sources), cardinality(p.targets), p.waits_for
                 from supaqueue.pipeline(id('{job}')) p join supaqueue.job j using (id)"
            ))
            .await,
            "a|q|in_progress|1|0|1|0\nb|q|pending|0|0|1|0\nc|q|waiting|0|2|1|2\nd|q|waiting|0|1|0|1",
            "seen from {job}"
        );
    }
    assert_eq!(
        db.get("select * from supaqueue.pipeline(id('nobody'))")
            .await,
        ""
    );
}

#[tokio::test]
async fn a_pipeline_is_drawn_as_a_mermaid_graph() {
    let db = AddOnDb::new(2).await;
    db.run(
        "begin; select add_jobs('q', 'a', 'b', 'c');
         select wait_for('c', 'a'), wait_for('c', 'b', 'wait'); commit",
    )
    .await;
    let graph = db.get("select supaqueue.pipeline_mermaid(id('a'))").await;
    let node = |name: &'static str| {
        let db = &db;
        async move {
            db.get(&format!("select right(id('{name}')::text, 6)"))
                .await
        }
    };
    let want = format!(
        "flowchart LR\n  n1[\"q {}<br/>in_progress\"]:::in_progress\n  n2[\"q {}<br/>in_progress\"]:::in_progress\n  \
         n3[\"q {}<br/>waiting\"]:::waiting\n  n1 --> n3\n  n2 -->|wait| n3\n  classDef pending",
        node("a").await,
        node("b").await,
        node("c").await
    );
    assert!(graph.starts_with(&want), "{graph}");
}

#[tokio::test]
async fn many_siblings_become_one_node() {
    let db = AddOnDb::new(3).await;
    db.run(
        "begin; select add_jobs('q', 's', 'c'), add_jobs('q', variadic array(select 'p' || i from generate_series(1, 7) i));
         insert into supaqueue.job_dependencies (source, target)
         select id('s'), id('p' || i) from generate_series(1, 7) i union all select id('p' || i), id('c') from generate_series(1, 7) i; commit",
    )
    .await;
    db.succeed("s").await;
    let graph = db.get("select supaqueue.pipeline_mermaid(id('c'))").await;
    assert!(
        graph.contains("[\"q × 7<br/>3 in_progress, 4 pending\"]:::in_progress"),
        "{graph}"
    );
    assert_eq!(graph.matches("-->").count(), 2, "{graph}");
    let graph = db
        .get("select supaqueue.pipeline_mermaid(id('c'), 10)")
        .await;
    assert_eq!(graph.matches("-->").count(), 14, "{graph}");
}

#[tokio::test]
async fn a_page_shows_the_jobs_of_a_pipeline_and_their_dependencies() {
    let db = AddOnDb::new(1).await;
    db.run(
        "begin; select add_jobs('q', 'a', 'b', 'c', 'x');
         select wait_for('b', 'a'), wait_for('c', 'b', 'wait'); commit",
    )
    .await;
    db.succeed("a").await;
    for job in ["a", "b", "c"] {
        assert_eq!(
            db.get(&format!(
                "select s -> 'is_whole', (
                   select string_agg(format('%s %s %s', (select j.payload ->> 'name' from supaqueue.job j where j.id = (m ->> 'id')::uuid),
                     m ->> 'queue', m ->> 'status'), ', ' order by n)
                   from jsonb_array_elements(s -> 'jobs') with ordinality as e (m, n)
                 ), (
                   select string_agg(format('%s %s', d ->> 'target' = id('c')::text, d ->> 'on_failure'), ', ' order by d ->> 'on_failure')
                   from jsonb_array_elements(s -> 'dependencies') d
                 )
                 from supaqueue.show_pipeline(id('{job}')) s"
            ))
            .await,
            "true|a q successful, b q pending, c q waiting|f fail, t wait",
            "seen from {job}"
        );
    }
    assert_eq!(
        db.get("select supaqueue.show_pipeline(id('x')) #>> '{jobs,0,status}'")
            .await,
        "in_progress",
        "a job without dependencies is a pipeline of one"
    );
    assert_eq!(
        db.get("select supaqueue.show_pipeline(id('nobody')) is null")
            .await,
        "t"
    );
}

#[tokio::test]
async fn a_page_shows_a_source_that_was_deleted() {
    let db = AddOnDb::new(1).await;
    db.run(
        "begin; select add_jobs('q', 'busy', 'a', 'b'); select wait_for('b', 'a', 'wait'); commit;
         delete from supaqueue.job where id = id('a')",
    )
    .await;
    assert_eq!(
        db.get("select supaqueue.show_pipeline(id('b')) #>> '{jobs,1,status}'")
            .await,
        "deleted"
    );
    assert_eq!(
        db.get("select p - 'created_at' - 'job' from jsonb_array_elements(supaqueue.list_pipelines() -> 'pipelines') p")
            .await,
        r#"{"jobs": 2, "queue": null, "failed": 0, "pending": 0, "waiting": 1, "is_whole": true, "cancelled": 0, "successful": 0, "finished_at": null, "in_progress": 0}"#
    );
}

#[tokio::test]
async fn of_a_large_pipeline_a_page_shows_the_nearest_jobs() {
    let db = AddOnDb::new(1).await;
    db.run(
        "begin; select add_jobs('q', variadic array(select 'p' || i from generate_series(1, 300) i));
         select wait_for('p' || i + 1, 'p' || i) from generate_series(1, 299) i; commit",
    )
    .await;
    assert_eq!(
        db.get(
            "select s -> 'is_whole', jsonb_array_length(s -> 'jobs'), jsonb_array_length(s -> 'dependencies')
             from supaqueue.show_pipeline(id('p150')) s"
        )
        .await,
        "false|200|199"
    );
}

/// The names of the first jobs of all pipelines, page by page.
async fn listed(db: &AddOnDb, page_size: u32) -> String {
    db.get(&format!(
        "with recursive page (number, list) as (
           select 1, supaqueue.list_pipelines({page_size})
           union all
           select p.number + 1, supaqueue.list_pipelines({page_size}, p.list ->> 'next') from page p where p.list ->> 'next' is not null
         )
         select string_agg(names, ' / ' order by number) from (
           select p.number, string_agg((select j.payload ->> 'name' from supaqueue.job j where j.id = (e.pipeline ->> 'job')::uuid)
             || ' ' || (e.pipeline ->> 'jobs'), ', ' order by e.n) as names
           from page p cross join jsonb_array_elements(p.list -> 'pipelines') with ordinality as e (pipeline, n)
           group by p.number
         ) l"
    ))
    .await
}

#[tokio::test]
async fn pipelines_are_listed_page_by_page_and_once() {
    let db = AddOnDb::new(1).await;
    // Ids in the order of insertion, as Supaqueue makes them: id(name) is not used here.
    db.run(
        "begin;
         insert into supaqueue.job (id, queue, payload)
         select ('0199' || lpad(to_hex(i), 28, '0'))::uuid, supaqueue.queue_id('q'), jsonb_build_object('name', 'j' || i)
         from generate_series(1, 9) i;
         create function public.after(_target integer, _source integer) returns void language sql as $$
           insert into supaqueue.job_dependencies (source, target)
           select s.id, t.id from supaqueue.job s, supaqueue.job t
           where s.payload ->> 'name' = 'j' || _source and t.payload ->> 'name' = 'j' || _target
         $$;
         select after(2, 1), after(3, 2), after(6, 4), after(6, 5), after(8, 7); commit",
    )
    .await;
    for page_size in [1, 2, 20] {
        assert_eq!(
            listed(&db, page_size).await.replace(" / ", ", "),
            "j7 2, j5 3, j1 3",
            "by {page_size}"
        );
    }
}

#[tokio::test]
async fn a_pipeline_with_many_first_jobs_is_listed_once_on_a_page() {
    let db = AddOnDb::new(1).await;
    db.run(
        "begin; select add_jobs('q', 'c'), add_jobs('q', variadic array(select 'p' || i from generate_series(1, 300) i));
         select wait_for('c', 'p' || i) from generate_series(1, 300) i; commit",
    )
    .await;
    assert_eq!(
        db.get(
            "select jsonb_array_length(l -> 'pipelines'), l #> '{pipelines,0,jobs}', l #> '{pipelines,0,is_whole}', l -> 'next', l -> 'examined'
             from supaqueue.list_pipelines() l"
        )
        .await,
        "1|100|false|null|300"
    );
}
