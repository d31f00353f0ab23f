//! Runs worlds on all processors, compares traces of the same seed, and shrinks what fails.

use crate::cuts;
use crate::oracle::{Failure, failure};
use crate::plan::{NEEDED, Plan};
use crate::rng::Tally;
use crate::trace::Trace;
use crate::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of how many seeds the trace is made twice and compared.
const COMPARED: u64 = 50;
/// So many failures are reported in full; more are only counted.
const REPORTED: usize = 10;

/// The command line.
#[derive(Debug, Clone)]
pub struct Settings {
    pub from: u64,
    pub seeds: u64,
    pub cuts: u64,
    knobs: Vec<(String, f64)>,
    trace: bool,
    shrink: bool,
    /// No new world is begun once so many failed.
    enough: usize,
}

impl Settings {
    /// Reads the arguments; those of cargo's own test runner are passed over.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Settings, String> {
        let debug =
            std::env::current_exe().is_ok_and(|path| path.iter().any(|part| part == "debug"));
        let (seeds, cuts) = if debug { (40, 400) } else { (crate::SEEDS, crate::CUTS) };
        let (knobs, trace, shrink, enough) = (Vec::new(), false, true, usize::MAX);
        let mut settings = Settings { from: 0, seeds, cuts, knobs, trace, shrink, enough };
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let value = arguments.next().ok_or(format!("{argument} wants a number"))?;
                value.parse::<u64>().map_err(|e| format!("{argument} {value}: {e}"))
            };
            match &*argument {
                "--from" => settings.from = number()?,
                "--seeds" => settings.seeds = number()?,
                "--cuts" => settings.cuts = number()?,
                "--trace" => settings.trace = true,
                "--as-is" => settings.shrink = false,
                "--enough" => settings.enough = number()? as usize,
                "--set" => {
                    let knob = arguments.next().unwrap_or_default();
                    let parts = knob.split_once('=').and_then(|(k, v)| Some((k, v.parse().ok()?)));
                    let (name, value) =
                        parts.ok_or(format!("--set wants knob=value, not {knob:?}"))?;
                    if !Plan::draw(0).set(name, value) {
                        return Err(format!("there is no knob {name:?}"));
                    }
                    settings.knobs.push((name.to_owned(), value));
                }
                _ => {}
            }
        }
        if settings.seeds == 1 {
            settings.cuts = 0;
        }
        Ok(settings)
    }

    /// One world, to be looked at.
    pub fn is_single(&self) -> bool {
        self.seeds == 1
    }

    /// Whether one failure is as good as many.
    pub fn has_enough(&self) -> bool {
        self.enough < usize::MAX
    }

    fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan::draw(seed);
        for (name, value) in &self.knobs {
            plan.set(name, *value);
        }
        plan
    }
}

/// The seeds that once failed, first run ever after.
pub fn regressions() -> Vec<u64> {
    let lines = include_str!("regressions.txt").lines();
    lines.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

/// What became of a world.
struct Outcome {
    seed: u64,
    failure: Option<Failure>,
    hash: u64,
    tally: Tally,
}

/// Lives one world. A panic of the product is a failure like any other.
fn live(seed: u64, plan: Plan, print: bool) -> Outcome {
    let trace = Trace::new(print);
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, plan, trace.clone());
        world.live();
        let mut tally = std::mem::take(&mut world.tally);
        tally.append(&mut world.disk.borrow_mut().seen);
        (world.failure.take(), tally)
    }));
    let (failure, tally) = match lived {
        Ok(lived) => lived,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?");
            (Some(failure("panic", text)), Tally::new())
        }
    };
    if print {
        println!("sim: {} lines of trace, hash {:016x}", trace.lines(), trace.hash());
    }
    Outcome { seed, failure, hash: trace.hash(), tally }
}

/// Runs these seeds and reports; gives whether any failed.
pub fn run_seeds(what: &str, seeds: &[u64], settings: &Settings) -> bool {
    let failures = AtomicUsize::new(0);
    let outcomes = in_parallel(seeds, |seed| {
        if failures.load(Ordering::Relaxed) >= settings.enough {
            return None;
        }
        let outcome = live(*seed, settings.plan(*seed), settings.trace);
        if *seed < COMPARED && outcome.failure.is_none() && !settings.is_single() {
            let again = live(*seed, settings.plan(*seed), false);
            if again.hash != outcome.hash {
                let text = "the same seed made another trace";
                return Some(Outcome { failure: Some(failure("determinism", text)), ..outcome });
            }
        }
        failures.fetch_add(usize::from(outcome.failure.is_some()), Ordering::Relaxed);
        Some(outcome)
    });
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    let mut tally = Tally::new();
    for (name, count) in outcomes.iter().flat_map(|outcome| &outcome.tally) {
        *tally.entry(name.clone()).or_default() += count;
    }
    let failed: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| outcome.failure.is_some()).collect();
    for outcome in failed.iter().take(REPORTED) {
        report(outcome, settings);
    }
    for outcome in failed.iter().skip(REPORTED) {
        if let Some(found) = &outcome.failure {
            println!("sim: seed {} fails too, by {}", outcome.seed, found.check);
        }
    }
    println!("sim: {} {what}, {} failed", outcomes.len(), failed.len());
    if what == "seeds" {
        let counts: Vec<String> =
            tally.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("sim: exercised: {}", counts.join(", "));
    }
    !failed.is_empty()
}

/// Says how to see a failure again, at its smallest.
fn report(outcome: &Outcome, settings: &Settings) {
    let Some(found) = &outcome.failure else {
        return;
    };
    println!("sim: seed {} fails: {}: {}", outcome.seed, found.check, found.text);
    let command =
        format!("cargo test --profile sim --test sim -- --seeds 1 --from {} --trace", outcome.seed);
    println!("  replay: {command}");
    if settings.shrink && !settings.is_single() {
        let (changes, found) = shrink(outcome.seed, settings.plan(outcome.seed), found);
        let sets: Vec<String> =
            changes.iter().map(|(name, value)| format!(" --set {name}={value}")).collect();
        println!("  shrunk: {command}{}\n          {}: {}", sets.concat(), found.check, found.text);
    }
}

/// Greedily leaves out what is not needed for the same check to fail.
fn shrink(seed: u64, mut plan: Plan, found: &Failure) -> (Vec<(&'static str, f64)>, Failure) {
    let mut found = found.clone();
    let mut changes: Vec<(&'static str, f64)> = Vec::new();
    loop {
        let before = changes.len();
        for (name, value) in plan.knobs() {
            let smaller: &[f64] = match name {
                "tabs" | "per_page" | "phases" if value > 1.0 => &[1.0, value - 1.0],
                "acts" if value > 1.0 => &[value / 2.0, value - 1.0],
                _ if NEEDED.contains(&name) || value == 0.0 => &[],
                _ => &[0.0],
            };
            for smaller in smaller {
                let mut candidate = plan.clone();
                candidate.set(name, smaller.floor());
                if let Some(again) = live(seed, candidate.clone(), false).failure
                    && again.check == found.check
                {
                    plan = candidate;
                    found = again;
                    changes.retain(|(other, _)| *other != name);
                    changes.push((name, smaller.floor()));
                    break;
                }
            }
        }
        if changes.len() == before {
            return (changes, found);
        }
    }
}

/// Power-cut states of recorded runs; gives whether any was bad.
pub fn run_cuts(settings: &Settings) -> bool {
    let runs: Vec<u64> =
        (settings.from..settings.from + settings.cuts.div_ceil(cuts::STATES_PER_RUN)).collect();
    let outcomes = in_parallel(&runs, |seed| cuts::run(*seed));
    let states: u64 = outcomes.iter().map(|outcome| outcome.states).sum();
    let left = outcomes
        .iter()
        .fold([0; 4], |sums, outcome| std::array::from_fn(|at| sums[at] + outcome.left[at]));
    let found: Vec<String> = outcomes.into_iter().flat_map(|outcome| outcome.failures).collect();
    for text in found.iter().take(REPORTED) {
        println!("sim: {text}");
    }
    println!("sim: {states} power-cut states of {} runs, {} bad", runs.len(), found.len());
    let [nothing, log, journal, torn] = left;
    println!(
        "sim: they left no journal {nothing}, a log {log}, a journal {journal}, neither {torn}"
    );
    !found.is_empty()
}

/// Does `work` for each item on all processors; the results are in the items' order.
fn in_parallel<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(at) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < items.len())
                {
                    let result = work(&items[at]);
                    done.lock().expect("no worker panics").push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no worker panics");
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
