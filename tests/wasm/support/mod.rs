//! A scripted platform: its clock moves on when nothing is left to do but sleep, and its network is
//! a function from request to reply.

#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that fails here says where"
)]

pub(crate) mod stream;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use js_sys::{Array, Error, Function, JSON, Object, Promise, Reflect, Uint8Array};
use supaqueue_core::signature::{Keys, sign};
use supaqueue_core::time::Timestamp;
use supaqueue_edge::{Platform, handle};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{AbortSignal, ReadableStream, Request, RequestInit, Response, ResponseInit};

pub(crate) const SECRET: &str = "whsec_c3VwYXF1ZXVlLXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc=";
pub(crate) const SERVICE_KEY: &str = "service-role-jwt";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
pub(crate) const START_MS: u64 = 1_795_417_959_000;

/// A request that the function sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) url: String,
    pub(crate) init: Object,
    pub(crate) body: String,
    /// Of a pulse: the records of the current jobs that it acknowledges.
    pub(crate) records: Vec<String>,
}

impl Sent {
    /// A call of the database, not of a target.
    pub(crate) fn is_rpc(&self) -> bool {
        self.is_pulse() || self.is_report()
    }

    pub(crate) fn is_pulse(&self) -> bool {
        self.url.ends_with("/rest/v1/rpc/supaqueue_pulse")
    }

    pub(crate) fn is_report(&self) -> bool {
        self.url.ends_with("/rest/v1/rpc/end_current_job")
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let headers: Array = get(&self.init, "headers").unchecked_into();
        let pair = headers
            .iter()
            .map(|pair| Array::from(&pair))
            .find(|pair| pair.get(0) == *name);
        pair.and_then(|pair| pair.get(1).as_string())
    }

    /// A value in the body, which is JSON, by its path.
    pub(crate) fn json(&self, path: &str) -> JsValue {
        let body = JSON::parse(&self.body).expect("a body is JSON");
        path.split('.').fold(body, |value, name| get(&value, name))
    }

    pub(crate) fn text(&self, path: &str) -> String {
        self.json(path).as_string().unwrap_or_default()
    }
}

/// What the network does with a request of the function.
pub(crate) enum Upstream {
    Respond {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    Stream {
        status: u16,
        body: ReadableStream,
    },
    Throw(JsValue),
    ThrowAtOnce(JsValue),
    /// No response: the request ends when its signal aborts.
    Hang,
    /// No response before [`World::release`].
    Hold,
}

pub(crate) fn json(status: u16, body: &str) -> Upstream {
    Upstream::Respond {
        status,
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.to_owned(),
    }
}

pub(crate) fn error(name: &str, message: &str) -> JsValue {
    let error = Error::new(message);
    error.set_name(name);
    error.into()
}

/// The database's answer to a pulse.
pub(crate) fn started(records: &[String]) -> Upstream {
    let records = records.join(",");
    let result = format!(r#"{{"accepted":true,"lease_ms":60000,"started":[{records}]}}"#);
    json(200, &result)
}

/// The database's answer to a report.
pub(crate) fn accepted(next: &str) -> Upstream {
    let result = format!(r#"{{"accepted":true,"state":"settled","next":{next}}}"#);
    json(200, &result)
}

/// A target that succeeds, and a database that accepts everything and has no next job.
pub(crate) fn healthy(sent: &Sent) -> Upstream {
    if sent.is_pulse() {
        started(&sent.records)
    } else if sent.is_report() {
        accepted("null")
    } else {
        json(200, "{}")
    }
}

/// What is to be called at a time.
struct Timer {
    id: f64,
    at_ms: f64,
    work: Function,
}

/// Asserts that a text has this part.
#[track_caller]
pub(crate) fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "{part} is not in: {text}");
}

type Network = Box<dyn FnMut(&Sent) -> Upstream>;

pub(crate) struct World {
    pub(crate) now_ms: Cell<f64>,
    pub(crate) is_ending: Cell<bool>,
    pub(crate) env: RefCell<HashMap<String, String>>,
    pub(crate) sent: RefCell<Vec<Sent>>,
    pub(crate) log: RefCell<Vec<String>>,
    records: RefCell<HashMap<String, String>>,
    timers: RefCell<Vec<Timer>>,
    timers_set: Cell<f64>,
    work: RefCell<Vec<Promise>>,
    held: RefCell<Vec<Function>>,
    network: RefCell<Network>,
}

impl World {
    /// A project with these targets, whose database accepts everything and has no next job.
    pub(crate) fn new(mut target: impl FnMut(&Sent) -> Upstream + 'static) -> Rc<Self> {
        Self::with_network(move |sent| {
            if sent.is_rpc() {
                healthy(sent)
            } else {
                target(sent)
            }
        })
    }

    pub(crate) fn with_network(network: impl FnMut(&Sent) -> Upstream + 'static) -> Rc<Self> {
        let env = [
            ("SUPAQUEUE_SECRET", SECRET),
            ("SUPABASE_URL", "http://project"),
            ("SUPABASE_SERVICE_ROLE_KEY", SERVICE_KEY),
            ("SUPAQUEUE_LOG_LEVEL", "debug"),
        ];
        Rc::new(Self {
            now_ms: Cell::new(START_MS as f64),
            is_ending: Cell::new(false),
            env: RefCell::new(env.map(|(name, value)| (name.into(), value.into())).into()),
            sent: RefCell::default(),
            log: RefCell::default(),
            records: RefCell::default(),
            timers: RefCell::default(),
            timers_set: Cell::default(),
            work: RefCell::default(),
            held: RefCell::default(),
            network: RefCell::new(Box::new(network)),
        })
    }

    pub(crate) fn set_env(&self, name: &str, value: &str) {
        self.env.borrow_mut().insert(name.into(), value.into());
    }

    pub(crate) fn set_network(&self, network: impl FnMut(&Sent) -> Upstream + 'static) {
        *self.network.borrow_mut() = Box::new(network);
    }

    pub(crate) fn advance(&self, ms: f64) {
        self.now_ms.set(self.now_ms.get() + ms);
    }

    /// Responds to every request that is held.
    pub(crate) fn release(&self) {
        for resolve in self.held.take() {
            let held = response(200, &[], "held");
            resolve.call1(&JsValue::UNDEFINED, &held).unwrap();
        }
    }

    pub(crate) fn held(&self) -> usize {
        self.held.borrow().len()
    }

    /// Waits until the isolate may go. When nothing else is left to do, time passes.
    pub(crate) async fn settle(self: &Rc<Self>) {
        let work: Array = self.work.take().into_iter().collect();
        let is_done = Rc::new(Cell::new(false));
        let done = Rc::clone(&is_done);
        spawn_local(async move {
            JsFuture::from(Promise::all(&work)).await.unwrap();
            done.set(true);
        });
        for _ in 0..10_000 {
            turn().await;
            if is_done.get() {
                turn().await;
                assert_eq!(self.timers.borrow().len(), 0, "timers are left");
                return;
            }
            if self.held() == 0 {
                self.pass_time();
            }
        }
        panic!("the function never ends: {:?}", self.log.borrow().last());
    }

    /// Moves the clock to the next timer.
    pub(crate) fn pass_time(&self) {
        let mut timers = self.timers.borrow_mut();
        timers.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        if timers.is_empty() {
            return;
        }
        let first = timers.remove(0);
        drop(timers);
        self.now_ms.set(self.now_ms.get().max(first.at_ms));
        first.work.call0(&JsValue::UNDEFINED).unwrap();
    }

    pub(crate) fn calls(&self) -> Vec<Sent> {
        self.sent_where(|sent| !sent.is_rpc())
    }

    pub(crate) fn reports(&self) -> Vec<Sent> {
        self.sent_where(Sent::is_report)
    }

    pub(crate) fn sent_where(&self, is_wanted: impl Fn(&Sent) -> bool) -> Vec<Sent> {
        let mut sent = self.sent.borrow().clone();
        sent.retain(is_wanted);
        sent
    }

    /// The current jobs that were reported, in order.
    pub(crate) fn reported(&self) -> Vec<String> {
        let reports = self.reports();
        reports.iter().map(|sent| sent.text("cur_job_id")).collect()
    }

    /// The log lines of an event.
    pub(crate) fn logged(&self, event: &str) -> Vec<String> {
        let name = format!(r#""event":"{event}""#);
        let mut lines = self.log.borrow().clone();
        lines.retain(|line| line.contains(&name));
        lines
    }

    /// Dispatches these assignments, and waits until all lanes have ended.
    pub(crate) async fn run(self: &Rc<Self>, assignments: &[String]) {
        self.dispatch(assignments).await;
        self.settle().await;
    }

    /// Sends a signed dispatch of these assignments.
    pub(crate) async fn dispatch(self: &Rc<Self>, assignments: &[String]) -> Reply {
        let mut current_jobs = Vec::new();
        for assignment in assignments {
            let record = JSON::parse(assignment).expect("a record is JSON");
            let id = get(&get(&record, "current_job"), "id").as_string();
            let id = id.unwrap_or_default();
            current_jobs.push(format!(r#"{{"current_job":{{"id":"{id}"}}}}"#));
            self.records.borrow_mut().insert(id, assignment.clone());
        }
        let current_jobs = current_jobs.join(",");
        let body = format!(r#"{{"protocol":2,"current_jobs":[{current_jobs}]}}"#);
        self.post("msg_1", &body).await
    }

    /// Sends a signed body.
    pub(crate) async fn post(self: &Rc<Self>, id: &str, body: &str) -> Reply {
        let now = Timestamp::from_ms(self.now_ms.get() as u64);
        let signature = sign(&Keys::parse(SECRET).unwrap(), id, now, body.as_bytes());
        let timestamp = now.seconds().to_string();
        let headers = [
            ("content-type", "application/json"),
            ("webhook-id", id),
            ("webhook-timestamp", &timestamp),
            ("webhook-signature", &signature),
            ("traceparent", TRACEPARENT),
        ];
        self.send("POST", &headers, Some(&body.into())).await
    }

    pub(crate) async fn send(
        self: &Rc<Self>,
        method: &str,
        headers: &[(&str, &str)],
        body: Option<&JsValue>,
    ) -> Reply {
        let init = RequestInit::new();
        init.set_method(method);
        let pairs = headers
            .iter()
            .map(|(name, value)| Array::of2(&(*name).into(), &(*value).into()));
        init.set_headers(&pairs.collect::<Array>());
        if let Some(body) = body {
            init.set_body(body);
            // Required for a stream, and allowed for any body.
            set(&init, "duplex", &"half".into());
        }
        let request = Request::new_with_str_and_init("http://function/supaqueue", &init).unwrap();
        let response = handle(request, self.platform()).await.unwrap();
        Reply::read(&response).await
    }

    fn platform(self: &Rc<Self>) -> Platform {
        let platform = Object::new();
        set(&platform, "sourceHash", &"0123abcd".into());
        set(&platform, "startedAt", &(START_MS as f64).into());
        let world = Rc::clone(self);
        let is_ending = Closure::<dyn FnMut() -> bool>::new(move || world.is_ending.get());
        method(&platform, "isEnding", is_ending);
        let world = Rc::clone(self);
        let env = Closure::<dyn FnMut(String) -> JsValue>::new(move |name| {
            let value = world.env.borrow().get(&name).map(JsValue::from);
            value.unwrap_or(JsValue::UNDEFINED)
        });
        method(&platform, "env", env);
        let world = Rc::clone(self);
        let now = Closure::<dyn FnMut() -> f64>::new(move || world.now_ms.get());
        method(&platform, "now", now);
        let random = || Uint8Array::from(&[0xFF; 16][..]);
        let random = Closure::<dyn FnMut() -> Uint8Array>::new(random);
        method(&platform, "random", random);
        let world = Rc::clone(self);
        let after = move |ms: f64, work: Function| {
            let id = world.timers_set.get() + 1.0;
            world.timers_set.set(id);
            let at_ms = world.now_ms.get() + ms;
            world.timers.borrow_mut().push(Timer { id, at_ms, work });
            id
        };
        let after = Closure::<dyn FnMut(f64, Function) -> f64>::new(after);
        method(&platform, "after", after);
        let world = Rc::clone(self);
        let forget = Closure::<dyn FnMut(f64)>::new(move |id| {
            world.timers.borrow_mut().retain(|timer| timer.id != id);
        });
        method(&platform, "forget", forget);
        let world = Rc::clone(self);
        let fetch = move |url, init| world.fetch(url, init);
        let fetch = Closure::<dyn FnMut(String, Object) -> Result<Promise, JsValue>>::new(fetch);
        method(&platform, "fetch", fetch);
        let world = Rc::clone(self);
        let log = Closure::<dyn FnMut(String, String)>::new(move |level, line: String| {
            let level = format!(r#""level":"{level}""#);
            assert!(line.contains(&level), "{level}: {line}");
            world.log.borrow_mut().push(line);
        });
        method(&platform, "log", log);
        let world = Rc::clone(self);
        let wait_until = move |work| world.work.borrow_mut().push(work);
        let wait_until = Closure::<dyn FnMut(Promise)>::new(wait_until);
        method(&platform, "waitUntil", wait_until);
        platform.unchecked_into()
    }

    fn fetch(self: &Rc<Self>, url: String, init: Object) -> Result<Promise, JsValue> {
        let bytes: Uint8Array = get(&init, "body").unchecked_into();
        let body = String::from_utf8(bytes.to_vec()).unwrap();
        let mut sent = Sent {
            url,
            init,
            body,
            records: Vec::new(),
        };
        if sent.is_pulse() {
            let records = self.records.borrow();
            let ids = sent.json("_request.acknowledge");
            let ids = if ids.is_undefined() {
                Array::new()
            } else {
                Array::from(&ids)
            };
            let record = |id: JsValue| records[&id.as_string().unwrap_or_default()].clone();
            sent.records = ids.iter().map(record).collect();
        }
        self.sent.borrow_mut().push(sent.clone());
        let reply = (self.network.borrow_mut())(&sent);
        match reply {
            Upstream::Respond {
                status,
                headers,
                body,
            } => Ok(answered(response(status, &headers, &body))),
            Upstream::Stream { status, body } => {
                let init = ResponseInit::new();
                init.set_status(status);
                let response = Response::new_with_opt_readable_stream_and_init(Some(&body), &init);
                Ok(answered(response.unwrap()))
            }
            Upstream::Throw(error) => Ok(Promise::reject(&error)),
            Upstream::ThrowAtOnce(error) => Err(error),
            Upstream::Hang => {
                let signal: AbortSignal = get(&sent.init, "signal").unchecked_into();
                Ok(Promise::new(&mut |_, reject| {
                    let error = error("AbortError", "The signal has been aborted");
                    let abort = Closure::<dyn FnMut()>::new(move || {
                        reject.call1(&JsValue::UNDEFINED, &error).unwrap();
                    });
                    signal.set_onabort(Some(abort.into_js_value().unchecked_ref()));
                }))
            }
            Upstream::Hold => Ok(Promise::new(&mut |resolve, _| {
                self.held.borrow_mut().push(resolve);
            })),
        }
    }
}

fn answered(response: Response) -> Promise {
    Promise::resolve(&JsValue::from(response))
}

fn response(status: u16, headers: &[(&'static str, String)], body: &str) -> Response {
    let init = ResponseInit::new();
    init.set_status(status);
    let pairs = headers
        .iter()
        .map(|(name, value)| Array::of2(&(*name).into(), &value.into()));
    init.set_headers(&pairs.collect::<Array>());
    let body = (status != 204).then_some(body);
    Response::new_with_opt_str_and_init(body, &init).unwrap()
}

/// The function's reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) allow: Option<String>,
    pub(crate) body: String,
}

impl Reply {
    async fn read(response: &Response) -> Self {
        let body = JsFuture::from(response.text().unwrap()).await.unwrap();
        Self {
            status: response.status(),
            content_type: response.headers().get("content-type").unwrap(),
            allow: response.headers().get("allow").unwrap(),
            body: body.as_string().unwrap(),
        }
    }
}

/// Runs everything else that is ready.
pub(crate) async fn turn() {
    let turn = Promise::new(&mut |resolve, _| {
        let set_timeout: Function = get(&js_sys::global(), "setTimeout").unchecked_into();
        set_timeout.call1(&JsValue::UNDEFINED, &resolve).unwrap();
    });
    JsFuture::from(turn).await.unwrap();
}

/// The `n`th current job of a queue as JSON, with this payload.
pub(crate) fn assignment(n: u32, payload: &str) -> String {
    format!(
        r#"{{"current_job":{{"id":"{}"}},
        "job":{{"id":"{}","payload":{payload},"attempts":1,"headers":null,"timeout_ms":null}},
        "queue":{{"id":"{}","name":"mail","edge_function_name":"send-mail","default_headers":null,"timeout_ms":60000,"auth":"service_role","final_statuses":[]}}}}"#,
        current_job(n),
        job(n),
        job(0),
    )
}

pub(crate) fn current_job(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

pub(crate) fn job(n: u32) -> String {
    format!("00000000-0000-4000-9000-{n:012}")
}

pub(crate) fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap()
}

pub(crate) fn set(object: &JsValue, name: &str, value: &JsValue) {
    Reflect::set(object, &name.into(), value).unwrap();
}

/// Sets a method. JavaScript keeps it for ever, which is as long as the test's process lives.
pub(crate) fn method<T: ?Sized + wasm_bindgen::closure::WasmClosure>(
    object: &JsValue,
    name: &str,
    closure: Closure<T>,
) {
    set(object, name, &closure.into_js_value());
}
