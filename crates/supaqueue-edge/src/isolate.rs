//! Carries out what core decides for this isolate: requests, aborts, waits and log lines.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use supaqueue_core::config::Settings;
use supaqueue_core::fetch::{Failure, Request};
use supaqueue_core::inbound::Reply;
use supaqueue_core::isolate::{Action, Isolate, Moment};
use supaqueue_core::protocol::Dispatch;
use supaqueue_core::run::RequestId;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen_futures::spawn_local;
use web_sys::AbortController;

use crate::fetch::fetch;
use crate::platform::Platform;

thread_local! {
    static DRIVER: RefCell<Option<Rc<Driver>>> = const { RefCell::new(None) };
}

struct Timer {
    timer: JsValue,
    /// Kept until the timer has called it.
    _wake: Closure<dyn FnMut()>,
}

struct Driver {
    isolate: RefCell<Isolate>,
    platform: Platform,
    /// Aborts the requests that are unanswered.
    requests: RefCell<Vec<(RequestId, AbortController)>>,
    /// What wakes the isolate.
    wait: RefCell<Option<Timer>>,
    /// Lets the isolate go.
    release: RefCell<Option<Function>>,
}

/// Runs the jobs of a dispatch in the background, and replies.
pub(crate) fn run(
    settings: Settings,
    dispatch: Dispatch,
    traceparent: Option<&str>,
    platform: Platform,
) -> Reply {
    let driver = DRIVER.with_borrow_mut(|driver| {
        let is_busy = |driver: &Rc<Driver>| !driver.isolate.borrow().is_idle();
        if let Some(busy) = driver.as_ref().filter(|driver| is_busy(driver)) {
            return Rc::clone(busy);
        }
        let started = platform.started_at();
        let isolate = match driver {
            Some(idle) => Isolate::with(settings, started, &idle.isolate.borrow()),
            None => Isolate::new(settings, started),
        };
        Rc::clone(driver.insert(Rc::new(Driver::new(isolate, platform))))
    });
    let reply = Reply::accepted(&dispatch, &driver.isolate.borrow());
    let moment = driver.moment();
    let is_idle = driver.isolate.borrow().is_idle();
    let actions = driver
        .isolate
        .borrow_mut()
        .dispatched(dispatch, traceparent, moment);
    if is_idle && !driver.isolate.borrow().is_idle() {
        driver.hold();
    }
    driver.carry_out(actions);
    reply
}

impl Driver {
    fn new(isolate: Isolate, platform: Platform) -> Self {
        Self {
            isolate: RefCell::new(isolate),
            platform,
            requests: RefCell::default(),
            wait: RefCell::default(),
            release: RefCell::default(),
        }
    }

    /// Keeps the isolate until the run ends.
    fn hold(&self) {
        let until_released = Promise::new(&mut |resolve, _| {
            self.release.replace(Some(resolve));
        });
        self.platform.wait_until(&until_released);
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.platform.timestamp(),
            random: self.platform.random_bits(),
            is_ending: self.platform.is_ending(),
        }
    }

    fn carry_out(self: &Rc<Self>, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(id, request) => self.send(id, request),
                Action::Abort(id) => {
                    let requests = self.requests.borrow();
                    let its = requests.iter().find(|(known, _)| *known == id);
                    if let Some((_, controller)) = its {
                        controller.abort();
                    }
                }
                Action::Log(entry) => self.platform.write(&entry),
                Action::Wait(ms) => self.wake_in(ms),
                Action::End => {
                    self.stop_waiting();
                    if let Some(release) = self.release.take() {
                        // It resolves a promise, which cannot throw.
                        drop(release.call0(&JsValue::UNDEFINED));
                    }
                }
            }
        }
    }

    fn send(self: &Rc<Self>, id: RequestId, request: Request) {
        let driver = Rc::clone(self);
        let controller = AbortController::new();
        if let Ok(controller) = &controller {
            let requests = &mut self.requests.borrow_mut();
            requests.push((id, controller.clone()));
        }
        spawn_local(async move {
            let end = match controller {
                Ok(controller) => fetch(&driver.platform, request, &controller).await,
                Err(error) => Err(Failure::Network(crate::js::message(&error))),
            };
            driver
                .requests
                .borrow_mut()
                .retain(|(known, _)| *known != id);
            let moment = driver.moment();
            let actions = driver.isolate.borrow_mut().ended(id, end, moment);
            driver.carry_out(actions);
        });
    }

    /// Wakes the isolate after `ms` milliseconds, instead of at the time set before.
    fn wake_in(self: &Rc<Self>, ms: u64) {
        self.stop_waiting();
        let driver = Rc::clone(self);
        let wake = Closure::new(move || {
            let moment = driver.moment();
            let actions = driver.isolate.borrow_mut().woke(moment);
            driver.carry_out(actions);
        });
        let timer = self.platform.after(ms as f64, &wake);
        let timer = Timer { timer, _wake: wake };
        self.wait.replace(Some(timer));
    }

    fn stop_waiting(&self) {
        if let Some(wait) = &*self.wait.borrow() {
            self.platform.forget(&wait.timer);
        }
    }
}
