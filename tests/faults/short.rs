//! Every fault for a moment, in random order.

use std::time::Duration;

use supaqueue_chaos::{Fault, Plan};

use crate::scene::{carry_out, how_to_reproduce, test};

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
        let report = carry_out(scene, &plan).await;
        assert_eq!(report.rows.len(), plan.faults.len());
        let again = how_to_reproduce(scene);
        assert!(report.violations.is_empty(), "{report}\n{again}");
        let jobs: usize = report.rows.iter().map(|row| row.jobs).sum();
        assert!(jobs > 500, "too little load: {jobs} jobs");
    });
}
