//! Carries out the actions of a run's lanes.

use std::cell::RefCell;
use std::rc::Rc;

use supaqueue_core::lane::{Action, Event, Lane};
use supaqueue_core::protocol::{Dispatch, LaneId};
use supaqueue_core::run::Run;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::fetch::fetch;
use crate::platform::Platform;

/// What the lanes share.
struct Driver {
    run: RefCell<Run>,
    platform: Platform,
}

/// Starts one lane per current job, all at once. The platform keeps the isolate until they end.
pub(crate) fn start(run: Run, dispatch: Dispatch, platform: Platform) {
    let driver = Rc::new(Driver {
        run: RefCell::new(run),
        platform,
    });
    driver.write_log(&mut driver.run.borrow_mut());
    for assignment in dispatch.current_jobs {
        let id = LaneId::from_random(driver.platform.random_bytes());
        let lane = Rc::clone(&driver).drive(Lane::new(id, assignment));
        let work = future_to_promise(async {
            lane.await;
            Ok(JsValue::UNDEFINED)
        });
        driver.platform.wait_until(&work);
    }
}

impl Driver {
    async fn drive(self: Rc<Self>, mut lane: Lane) {
        let mut event = Event::Start;
        loop {
            event = match self.next(&mut lane, event) {
                Action::Fetch(request) => Event::Fetched(fetch(&self.platform, &request).await),
                Action::Sleep { ms } => {
                    // If sleeping fails, no time has passed; the lease ends all the same.
                    drop(JsFuture::from(self.platform.sleep(ms as f64)).await);
                    Event::Woke
                }
                Action::End => return,
            };
        }
    }

    fn next(&self, lane: &mut Lane, event: Event) -> Action {
        let mut run = self.run.borrow_mut();
        if self.platform.is_ending() {
            run.stop();
        }
        let (now, random) = (self.platform.timestamp(), self.platform.random_u64());
        let action = lane.next(event, &mut run, now, random);
        self.write_log(&mut run);
        action
    }

    fn write_log(&self, run: &mut Run) {
        for entry in run.take_log() {
            self.platform.write(&entry);
        }
    }
}
