//! The scene that the tests of this program share, one after the other.

use std::sync::{Arc, LazyLock};

use supaqueue_chaos::{Pace, Scene};
use supaqueue_tests::{get, run};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OnceCell};

/// One runtime for all tests: the stack's tasks must not end with the test that started it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Runs a test on the shared scene, in which nothing has happened yet and nothing is broken.
pub(crate) fn test(body: impl AsyncFnOnce(&Arc<Scene>)) {
    RUNTIME.block_on(async {
        static SCENE: OnceCell<Mutex<Arc<Scene>>> = OnceCell::const_new();
        let scene = SCENE.get_or_init(async || {
            let scene = Scene::start(seed(), Pace::Quick).await;
            Mutex::new(scene.expect("the scene starts"))
        });
        let scene = scene.await.lock().await;
        mend(&scene).await;
        scene.clear().await.expect("what was left is removed");
        body(&scene).await;
    });
}

/// What the functions were that a test has broken.
static WHOLE: Mutex<Vec<String>> = Mutex::const_new(Vec::new());

/// Changes the text of a function, until the next test.
pub(crate) async fn break_function(scene: &Scene, [function, from, to]: [&str; 3]) {
    let client = scene.connect().await.unwrap();
    let definition = format!("select pg_get_functiondef('supaqueue.{function}'::regproc)");
    let whole = get(&client, &definition).await;
    assert!(
        whole.contains(from),
        "{function} no longer contains {from:?}: break it in another way"
    );
    let broken = whole.replace(from, to);
    WHOLE.lock().await.push(whole);
    run(&client, &broken).await;
}

async fn mend(scene: &Scene) {
    let client = scene.connect().await.unwrap();
    for whole in WHOLE.lock().await.drain(..) {
        run(&client, &whole).await;
    }
}

/// The seed that the environment names, or one of the clock.
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
