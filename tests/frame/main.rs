//! Frames into a native SQLite and back: the type rules, the modes, the edge cases of
//! `docs/types.md`, malformed bytes.

mod arrow_files;
mod copy;
mod edges;
mod harness;
mod hostile;
mod modes;
mod mutations;
mod nested;
mod pairs;
mod paths;
mod random;
mod samples;
mod types_doc;
