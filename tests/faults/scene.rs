//! The scene, which the tests of this program share, one at a time.

use std::sync::{Arc, LazyLock};

use supaqueue_chaos::random::Seed;
use supaqueue_chaos::{Pace, Plan, Report, Scene};
use supaqueue_tests::{run, seed};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};

/// One runtime for all tests, so that the stack's tasks outlive the test that started it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Runs a test on the shared scene, without jobs and with all functions intact.
pub(crate) fn test(body: impl AsyncFnOnce(&Arc<Scene>)) {
    RUNTIME.block_on(async {
        static SCENE: OnceCell<Mutex<Arc<Scene>>> = OnceCell::const_new();
        let scene = SCENE.get_or_init(async || {
            let seed = Seed(seed("SUPAQUEUE_CHAOS_SEED"));
            let scene = Scene::start(seed, Pace::Quick).await;
            Mutex::new(scene.expect("the scene starts"))
        });
        let scene = scene.await.lock().await;
        restore_functions(&scene).await;
        let cleared = scene.clear().await;
        cleared.expect("the jobs of the last test are deleted");
        body(&scene).await;
    });
}

/// Carries out a plan and prints its report.
pub(crate) async fn carry_out(scene: &Arc<Scene>, plan: &Plan) -> Report {
    let report = supaqueue_chaos::run(scene, plan).await;
    let report = report.unwrap_or_else(|error| panic!("{error}\n{}", how_to_reproduce(scene)));
    println!("{report}");
    report
}

pub(crate) fn how_to_reproduce(scene: &Scene) -> String {
    format!(
        "reproduce with: SUPAQUEUE_CHAOS_SEED={} cargo test --package supaqueue-tests --test faults",
        scene.seed.0
    )
}

/// The original definitions of the functions that a test has broken.
static ORIGINALS: Mutex<Vec<String>> = Mutex::const_new(Vec::new());

/// Replaces a part of a function's definition until the next test.
pub(crate) async fn break_function(scene: &Scene, [function, from, to]: [&str; 3]) {
    let client = scene.connect().await.unwrap();
    let original = supaqueue_tests::break_function(&client, function, from, to).await;
    ORIGINALS.lock().await.push(original);
}

async fn restore_functions(scene: &Scene) {
    let client = scene.connect().await.unwrap();
    for original in ORIGINALS.lock().await.drain(..) {
        run(&client, &original).await;
    }
}
