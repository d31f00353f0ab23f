//! One tab's node, driven by hand: events go in, effects come out, and time passes as told. What a
//! world of the simulator meets once in thousands is made here on purpose.
//!
//! | file | what |
//! |---|---|
//! | `world` | the tab, its lock, its disk and its queue |
//! | `deadline` | frames that do not get their turn in time |
//! | `large` | frames that go to the holder by way of the queue |
//! | `many` | many frames that wait at once |
//! | `queue` | what is drained, and when |
//! | `transaction` | frames that join the caller's own transaction |
//! | `turns` | who waits while others offer frames |
//! | `export` | the file, after somebody died |

mod deadline;
mod export;
mod large;
mod many;
mod queue;
mod transaction;
mod turns;
mod world;
