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
