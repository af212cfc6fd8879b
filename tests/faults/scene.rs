//! The scene, which the tests of this program share, one at a time.

use std::sync::{Arc, LazyLock};

use supaqueue_chaos::random::Seed;
use supaqueue_chaos::{Pace, Scene};
use supaqueue_tests::{get, run};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};

/// One runtime for all tests, so that the stack's tasks outlive the test that started it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Runs a test on the shared scene, without jobs and with all functions intact.
pub(crate) fn test(body: impl AsyncFnOnce(&Arc<Scene>)) {
    RUNTIME.block_on(async {
        static SCENE: OnceCell<Mutex<Arc<Scene>>> = OnceCell::const_new();
        let scene = SCENE.get_or_init(async || {
            let scene = Scene::start(Seed(seed()), Pace::Quick).await;
            Mutex::new(scene.expect("the scene starts"))
        });
        let scene = scene.await.lock().await;
        restore_functions(&scene).await;
        scene
            .clear()
            .await
            .expect("the jobs of the last test are deleted");
        body(&scene).await;
    });
}

/// The original definitions of the functions that a test has broken.
static ORIGINALS: Mutex<Vec<String>> = Mutex::const_new(Vec::new());

/// Replaces a part of a function's definition until the next test.
pub(crate) async fn break_function(scene: &Scene, [function, from, to]: [&str; 3]) {
    let client = scene.connect().await.unwrap();
    let definition = format!("select pg_get_functiondef('supaqueue.{function}'::regproc)");
    let original = get(&client, &definition).await;
    assert!(
        original.contains(from),
        "{function} no longer contains {from:?}: update this test"
    );
    let broken = original.replace(from, to);
    ORIGINALS.lock().await.push(original);
    run(&client, &broken).await;
}

async fn restore_functions(scene: &Scene) {
    let client = scene.connect().await.unwrap();
    for original in ORIGINALS.lock().await.drain(..) {
        run(&client, &original).await;
    }
}

/// The seed from the environment, or one from the clock.
pub(crate) fn seed() -> u64 {
    static SEED: LazyLock<u64> = LazyLock::new(|| match std::env::var("SUPAQUEUE_CHAOS_SEED") {
        Ok(seed) => seed.parse().expect("SUPAQUEUE_CHAOS_SEED is a number"),
        Err(_) => std::time::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .subsec_nanos()
            .into(),
    });
    *SEED
}
