//! Forwarding: what leaves the outbox for a server, in order and exactly once (docs/forwarding.md).
//!
//! Sans-I/O, as the rest of the protocol: the sender is told what happened and says what to do. It
//! reads and writes the outbox by steps that [`crate::node`] carries out under a lease of its own,
//! and speaks to the server by exchanges that the platform carries out. It knows no clock, no
//! network and no browser.
//!
//! | file | job |
//! |---|---|
//! | `item` | an item of the outbox, digests, items joined into one body |
//! | `outbox` | what is read from the outbox and written to it, as data |
//! | `wire` | requests and answers |
//! | `window` | which acknowledged items are still kept |
//! | `sender` | the decisions: what to send, ask, retry, pause |
//! | `looks` | when it looks at the outbox, and when it writes down what the server has |
//! | `answers` | what the sender makes of an answer |
//! | `report` | what is told of it: status and events |

mod answers;
mod item;
mod looks;
mod outbox;
mod report;
mod sender;
mod window;
mod wire;

pub use item::{Content, Digest, Item, stamp, stamp_anew};
pub use outbox::{DeadLetter, Look, OutboxState, Page, PauseReason, Record, Refused};
pub use report::{Happened, Report, Status};
pub use sender::{Sender, Settings, Step};
pub use wire::{Answer, Method, Outcome, Request};
