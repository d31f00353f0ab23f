//! What is told of forwarding: `status().forwarding`, and the event `forward`.

use super::outbox::{DeadLetter, OutboxState, PauseReason};
use crate::json;
use serde::{Deserialize, Deserializer, Serialize};

/// The contract's `status().forwarding`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Items that the server has not acknowledged.
    pub pending: u64,
    /// The sequence number of the last one that it has.
    pub last_acknowledged: Option<i64>,
    /// Whether nothing is sent until `resume()`.
    pub paused: bool,
    /// Why nothing is sent at the moment: a code, none while all is well.
    pub reason: Option<String>,
    pub dead_letters: u64,
    pub stream: Option<String>,
}

impl Status {
    /// As the outbox has it.
    pub fn of(state: &OutboxState) -> Status {
        let acknowledged = state.acknowledged - state.base;
        Status {
            pending: u64::try_from(state.last - state.acknowledged).unwrap_or(0),
            last_acknowledged: (acknowledged > 0).then_some(acknowledged),
            paused: state.paused.is_some(),
            reason: state.paused.map(|reason| reason.code().to_owned()),
            dead_letters: state.dead_letters,
            stream: state.stream.clone(),
        }
    }

    /// This, with what a look at the outbox says. The last acknowledgements may not be recorded yet.
    pub fn updated(&self, state: &OutboxState) -> Status {
        let mut now = Status::of(state);
        if now.stream == self.stream {
            let ahead = self.last_acknowledged.max(now.last_acknowledged);
            let more = ahead.unwrap_or(0) - now.last_acknowledged.unwrap_or(0);
            now.pending = now.pending.saturating_sub(more.unsigned_abs());
            now.last_acknowledged = ahead;
            now.reason = now.reason.or_else(|| self.reason.clone());
            now.paused |= self.paused && self.reason != Some(PauseReason::Asked.code().to_owned());
        }
        now
    }
}

impl PauseReason {
    /// The code that status and events give.
    pub fn code(self) -> &'static str {
        match self {
            PauseReason::Asked => "PAUSED",
            PauseReason::RemoteRewound { .. } => "REMOTE_REWOUND",
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happened {
    /// The server has more.
    Acknowledged,
    /// An exchange failed; the next one is made after a while. `reason` says why.
    Waiting,
    /// Nothing is sent until `resume()`.
    Paused,
    /// Sending goes on.
    Resumed,
    /// The server refused an item.
    DeadLetter,
    /// The server had lost acknowledged items, and is sent them again.
    Rewound,
    /// Somebody else sent under the stream's id; what is not acknowledged goes under a new one.
    Forked,
}

/// The detail of the event `forward`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub what: Happened,
    #[serde(flatten)]
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetter>,
}

/// The fields that are its own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Own {
    what: Happened,
    dead_letter: Option<DeadLetter>,
}

impl<'de> Deserialize<'de> for Report {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (own, status) = json::both::<_, Own, _>(deserializer)?;
        Ok(Report { what: own.what, status, dead_letter: own.dead_letter })
    }
}
