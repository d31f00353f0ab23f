//! The sender: in order, once, for ever; what it makes of every answer.
//!
//! | file | what |
//! |---|---|
//! | `desk` | an outbox, a server and a clock, all driven by hand |
//! | `order` | once and in order, whatever the server lost and copied files have sent |
//! | `pace` | when it asks, waits, rests and stops |
//! | `refused` | what a server does not take |

mod desk;
mod order;
mod pace;
mod refused;
