//! The simulator: worlds of tabs that run the shipped node over a simulated browser, one seed each.
//! See docs/simulator.md.
//!
//! `cargo test --profile sim --test sim -- [--seeds N] [--from S] [--set knob=value]… [--trace]`

mod client;
mod disk;
mod effects;
mod file;
mod folder;
mod frames;
mod image;
mod locks;
mod oracle;
mod plan;
mod rest;
mod rng;
mod trace;
mod trouble;
mod world;

use plan::Plan;
use trace::Trace;
use world::World;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let get = |name: &str| {
        args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)?.parse::<u64>().ok())
    };
    let from = get("--from").unwrap_or(0);
    let seeds = get("--seeds").unwrap_or(20);
    let trace = args.iter().any(|a| a == "--trace");
    for seed in from..from + seeds {
        let mut world = World::new(seed, Plan::draw(seed), Trace::new(trace));
        world.live();
        if let Some(found) = &world.failure {
            println!("seed {seed}: {} {}", found.check, found.text);
        }
        if seeds == 1 {
            println!("{:?}", world.tally);
        }
    }
}
