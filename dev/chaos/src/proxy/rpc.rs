//! Calls of the database that go wrong.

use std::time::Duration;

use hyper::header::{HeaderValue, RETRY_AFTER};

use super::Shared;
use super::http::{Answer, Cut, Message, answer};

/// So many of 100 calls go wrong.
const PERCENT: u64 = 40;
/// How long a call hangs: longer than any caller waits.
const HANGS_FOR: Duration = Duration::from_secs(60);

/// What becomes of a call of the database.
#[derive(Debug, Clone, Copy, Default)]
pub enum RpcFault {
    /// It is answered.
    #[default]
    None,
    /// It is done, and its answer never arrives.
    AnswerLost,
    /// It is not done, but answered with this status.
    Status(u16),
    /// It is not done, and never answered.
    Hangs,
}

impl Shared {
    pub(super) async fn rpc(&self, message: Message) -> Result<Answer, Cut> {
        let fault = self.faults().rpc;
        if !self.dice().percent(PERCENT) {
            return self.forward(message).await;
        }
        self.meet(!matches!(fault, RpcFault::None));
        match fault {
            RpcFault::None => self.forward(message).await,
            RpcFault::AnswerLost => {
                self.forward(message).await?;
                Err(Cut)
            }
            RpcFault::Status(status) => {
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
