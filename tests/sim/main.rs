//! The simulator: worlds of tabs that run the shipped node over a simulated browser, one seed each.
//! What is simulated, what is checked and how to read a failure: docs/simulator.md.
//!
//! ```text
//! cargo test --profile sim --test sim -- [--seeds N] [--from S] [--cuts N] [--set knob=value]… [--trace]
//! ```

mod answers;
mod client;
mod cuts;
mod disk;
mod effects;
mod facts;
mod file;
mod folder;
mod forward;
mod frames;
mod image;
mod locks;
mod oracle;
mod plan;
mod rest;
mod rng;
mod run;
mod server;
mod trace;
mod trouble;
mod world;

use run::{Settings, regressions, run_cuts, run_seeds};
use std::process::ExitCode;
use std::time::Instant;

/// What a push runs; a debug build, which is 20 times slower, runs less.
const SEEDS: u64 = 2000;
const CUTS: u64 = 20_000;

fn main() -> ExitCode {
    let settings = match Settings::parse(std::env::args().skip(1)) {
        Ok(settings) => settings,
        Err(message) => {
            eprintln!("sim: {message}");
            return ExitCode::FAILURE;
        }
    };
    facts::check_all();
    if !takes_batches() {
        eprintln!("sim: this SQLite has no redo log to test: .cargo/config.toml is not in force");
        return ExitCode::FAILURE;
    }
    let started = Instant::now();
    let mut failed = false;
    if !settings.is_single() {
        failed |= run_seeds("regressions", &regressions(), &settings);
    }
    let seeds: Vec<u64> = (settings.from..settings.from + settings.seeds).collect();
    failed |= run_seeds("seeds", &seeds, &settings);
    if settings.cuts > 0 && !(failed && settings.has_enough()) {
        failed |= run_cuts(&settings);
    }
    println!("sim: {:.1} s", started.elapsed().as_secs_f64());
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whether SQLite was built to hand commits over as batches.
fn takes_batches() -> bool {
    let sql = "SELECT sqlite_compileoption_used('ENABLE_BATCH_ATOMIC_WRITE')";
    let asked = rusqlite::Connection::open_in_memory()
        .and_then(|conn| conn.query_row(sql, [], |row| row.get::<_, bool>(0)));
    asked.is_ok_and(|used| used)
}
