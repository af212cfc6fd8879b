//! One run: what its lanes share, and how their actions are carried out.

use std::cell::RefCell;
use std::rc::Rc;

use supaqueue_core::answer::{DatabaseAnswer, read, try_again};
use supaqueue_core::budget::Budget;
use supaqueue_core::config::Settings;
use supaqueue_core::lane::{Action, Event, Lane, Moment, Run};
use supaqueue_core::log::{Entry, Level};
use supaqueue_core::outcome::{BodyEnd, CallEnd};
use supaqueue_core::protocol::{Assignment, Dispatch, LaneId};
use supaqueue_core::request;
use supaqueue_core::trace::Trace;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::call::call;
use crate::platform::Platform;

/// How long the database may take, in milliseconds: longer than the API's statement timeout of 8 s.
const DATABASE_TIMEOUT_MS: u64 = 12_000;
/// More than the largest next job.
const DATABASE_ANSWER_LIMIT: usize = 16_000_000;

/// What the lanes of a run share.
pub(crate) struct Context {
    settings: Settings,
    platform: Platform,
    trace: Trace,
    run: RefCell<Run>,
}

impl Context {
    /// The context of a run of so many lanes.
    pub(crate) fn new(
        settings: Settings,
        platform: Platform,
        traceparent: Option<&str>,
        lanes: usize,
    ) -> Self {
        let trace = Trace::new(traceparent, platform.random_bytes());
        let budget = Budget::new(
            platform.started_at(),
            settings.time_budget_ms,
            settings.jobs_per_run,
            u32::try_from(lanes).unwrap_or(u32::MAX),
        );
        Self {
            settings,
            platform,
            trace,
            run: RefCell::new(Run {
                budget,
                is_missing_logged: false,
            }),
        }
    }

    /// Starts one lane for each current job, all at once. The platform keeps the isolate until they end.
    pub(crate) fn start(self, dispatch: Dispatch) {
        let count = Some(dispatch.current_jobs.len());
        self.write(Entry {
            count,
            ..Entry::new(Level::Debug, "dispatch_accepted")
        });
        let context = Rc::new(self);
        for assignment in dispatch.current_jobs {
            let lane = Lane::new(
                LaneId::from_random(context.platform.random_bytes()),
                assignment,
            );
            let run = Rc::clone(&context).drive(lane);
            let work = future_to_promise(async move {
                run.await;
                Ok(JsValue::UNDEFINED)
            });
            context.platform.wait_until(&work);
        }
    }

    async fn drive(self: Rc<Self>, mut lane: Lane) {
        let mut event = Event::Begin;
        loop {
            let action = self.decide(&mut lane, event);
            event = match action {
                Action::Tell => Event::Answered(self.tell(&lane).await),
                Action::Call => Event::CallEnded(self.call(lane.assignment()).await),
                Action::Wait { ms } => {
                    // A sleep that fails has not moved the clock; the lane's lease still ends.
                    drop(JsFuture::from(self.platform.sleep(ms as f64)).await);
                    Event::Woke
                }
                Action::End => return,
            };
        }
    }

    fn decide(&self, lane: &mut Lane, event: Event) -> Action {
        let mut run = self.run.borrow_mut();
        if self.platform.is_ending() {
            run.budget.stop();
        }
        let (now, random) = (self.platform.timestamp(), self.platform.random_u64());
        let action = lane.next(
            event,
            Moment {
                now,
                random,
                run: &mut run,
            },
        );
        lane.take_log()
            .into_iter()
            .for_each(|entry| self.write(entry));
        action
    }

    async fn call(&self, assignment: &Assignment) -> CallEnd {
        let (now, span) = (self.platform.timestamp(), self.platform.random_u64());
        match request::target(assignment, &self.settings, self.trace, span, now) {
            Ok(request) => {
                let payload = assignment.job.payload.get().as_bytes();
                call(
                    &self.platform,
                    &request,
                    payload,
                    assignment.timeout_ms(),
                    self.settings.result_limit,
                )
                .await
            }
            Err(problem) => CallEnd::Impossible(problem),
        }
    }

    async fn tell(&self, lane: &Lane) -> DatabaseAnswer {
        let Some(arguments) = lane.arguments() else {
            return try_again("nothing to tell".into());
        };
        let (request, body) = request::end_current_job(&self.settings, &arguments);
        match call(
            &self.platform,
            &request,
            body.as_bytes(),
            DATABASE_TIMEOUT_MS,
            DATABASE_ANSWER_LIMIT,
        )
        .await
        {
            CallEnd::Answered(answer) => match answer.body_end {
                BodyEnd::Whole => {
                    let text = String::from_utf8_lossy(&answer.body);
                    read(
                        answer.status,
                        answer.retry_after.as_deref(),
                        &text,
                        self.platform.timestamp(),
                    )
                }
                BodyEnd::Cut => try_again("the answer is too long".into()),
                BodyEnd::Broken(reason) => try_again(reason),
            },
            CallEnd::TimedOut => try_again(format!("no answer within {DATABASE_TIMEOUT_MS} ms")),
            CallEnd::RateLimited { retry_after_ms } => {
                let after_ms = u32::try_from(retry_after_ms).ok();
                DatabaseAnswer::TryAgain {
                    reason: "rate limit of the runtime".into(),
                    after_ms,
                }
            }
            CallEnd::Network(reason) | CallEnd::Impossible(reason) => try_again(reason),
        }
    }

    fn write(&self, entry: Entry) {
        if entry.level <= self.settings.level {
            self.platform.write(&entry);
        }
    }
}
