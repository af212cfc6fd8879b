//! The README of the add-on, run as written.

use crate::database::AddOnDb;

#[tokio::test]
async fn the_statements_of_the_readme_work_as_written() {
    let db = AddOnDb::new(0).await;
    let readme = include_str!("../../sql/add-ons/job_dependencies/README.md");
    let blocks: Vec<_> = readme
        .split("```sql\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert_eq!(
        blocks.len(),
        3,
        "the README has the statements that this test knows"
    );
    for block in &blocks[..2] {
        db.run(block).await;
    }
    assert_eq!(
        db.get("select q.name, j.status, count(*) from supaqueue.job j join supaqueue.queue q on q.id = j.queue group by 1, 2 order by 1, 2").await,
        "combine|waiting|3\npart|pending|2\npart|waiting|2\nsplit|pending|1"
    );
    let shown = db.get(blocks[2]).await;
    assert!(shown.contains("|combine|waiting|2\n"), "{shown}");
    assert!(shown.contains("flowchart LR\n"), "{shown}");
    db.assert_counts_match_sources().await;
}
