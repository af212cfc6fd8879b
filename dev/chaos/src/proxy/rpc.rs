//! Faulty calls of the database API.

use std::time::Duration;

use hyper::header::{HeaderValue, RETRY_AFTER};

use super::Shared;
use super::http::{Answer, Cut, Message, answer};
use crate::random::chance;

/// The percentage of calls that hit a fault, unless all do.
const PERCENT: u8 = 40;
/// How long a call hangs, which is longer than any timeout.
const HANGS_FOR: Duration = Duration::from_secs(60);

/// A fault of calls of the database API.
#[derive(Debug, Clone, Copy, Default)]
pub enum RpcFault {
    /// They are answered.
    #[default]
    None,
    /// They are executed, but their answer is lost.
    AnswerLost,
    /// They are not executed but answered with this status.
    Status(u16),
    /// The same for all of them, as while a key is being replaced.
    Refused(u16),
    /// They are neither executed nor answered.
    Hangs,
}

impl Shared {
    pub(super) async fn rpc(&self, message: Message) -> Result<Answer, Cut> {
        let fault = self.faults().rpc;
        let has_fault = matches!(fault, RpcFault::Refused(_)) || chance(&mut self.rng(), PERCENT);
        if !has_fault {
            return self.forward(message).await;
        }
        self.count_hit(!matches!(fault, RpcFault::None));
        match fault {
            RpcFault::None => self.forward(message).await,
            RpcFault::AnswerLost => {
                self.forward(message).await?;
                Err(Cut)
            }
            RpcFault::Status(status) | RpcFault::Refused(status) => {
                let mut answer = answer(status, r#"{"code":"","message":"a fault"}"#)?;
                if status == 429 {
                    let second = HeaderValue::from_static("1");
                    answer.headers_mut().insert(RETRY_AFTER, second);
                }
                Ok(answer)
            }
            RpcFault::Hangs => {
                tokio::time::sleep(HANGS_FOR).await;
                Err(Cut)
            }
        }
    }
}
