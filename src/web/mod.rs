//! The browser: carries out what the node decides. Thin, and the only layer that names browser
//! types; tested in real browsers only.

pub mod both;
pub mod bytes;
pub mod convert;
pub mod driver;
mod export;
pub mod forward;
mod jobs;
pub mod locks;
mod lost;
pub mod memory;
pub mod opfs;
pub mod queue;
mod turn;
