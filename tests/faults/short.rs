//! Every fault for a moment, in random order.

use std::time::Duration;

use supaqueue_chaos::{Fault, Plan, run};

use crate::scene::{seed, test};

#[test]
fn every_job_survives_every_fault() {
    test(async |scene| {
        let mut faults = Fault::all();
        scene.seed.rng("order").shuffle(&mut faults);
        let plan = Plan {
            faults,
            time: Duration::from_millis(1500),
            patience: Duration::from_secs(120),
        };
        let again = format!(
            "reproduce with: SUPAQUEUE_CHAOS_SEED={} cargo test --package supaqueue-tests --test faults",
            seed()
        );
        let report = run(scene, &plan)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{again}"));
        println!("{report}");
        assert_eq!(report.rows.len(), plan.faults.len());
        assert!(report.violations.is_empty(), "{report}\n{again}");
        let jobs: usize = report.rows.iter().map(|row| row.jobs).sum();
        assert!(jobs > 500, "too little load: {jobs} jobs");
    });
}
