//! Power cuts, many of one run: the steps of a run are recorded with the promises that were given on
//! the way; then the power is cut at places all along it, each time with another part of what was
//! not flushed lost, and the database is opened as the next boot would open it.

use crate::disk::{Disk, Step};
use crate::file::SimFile;
use crate::folder::{queued_on, rejected_on};
use crate::image::Image;
use crate::oracle::{Failure, Found, FrameKey, Told, failure};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::trace::Trace;
use crate::world::{DATABASE, JOURNAL, World};
use framelock::platform::Handles;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// How many states are made of one run.
pub const STATES_PER_RUN: u64 = 400;

/// What became of a run's states.
pub struct Outcome {
    pub states: u64,
    /// In how many of them the journal's file held nothing, a redo log, a journal, or neither.
    pub left: [u64; 4],
    pub failures: Vec<String>,
}

/// A run without power cuts of its own, and durable.
fn plan(seed: u64) -> Plan {
    let mut plan = Plan::draw(seed);
    for knob in ["power_cuts", "relaxed", "hostile", "thefts", "throttled", "slowness"] {
        plan.set(knob, 0.0);
    }
    plan.set("phases", 1.0);
    plan.set("slowness", 1.0);
    plan.set("tabs", 1.0 + (seed % 3) as f64);
    plan
}

/// Records the run of a seed, and cuts it.
pub fn run(seed: u64) -> Outcome {
    let mut world = World::new(seed, plan(seed), Trace::default());
    world.disk.borrow_mut().record();
    world.live();
    if let Some(found) = world.failure {
        let failures =
            vec![format!("the recorded run {seed} fails: {}: {}", found.check, found.text)];
        return Outcome { states: 0, left: [0; 4], failures };
    }
    let steps = world.disk.borrow_mut().recorded();
    // The world's first steps make the tables: no tab would come before they are durable.
    let made = steps
        .iter()
        .position(|step| matches!(step, Step::Flush(name) if name == JOURNAL))
        .unwrap_or(0);
    let mut rng = Rng::new(seed, "cuts");
    let mut outcome = Outcome { states: 0, left: [0; 4], failures: Vec::new() };
    let mut disk = Disk::default();
    disk.create(DATABASE);
    disk.create(JOURNAL);
    // A little more than enough, as chance decides where.
    let chance = 1.03 * STATES_PER_RUN as f64 / (steps.len() - made) as f64;
    let mut promised = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        disk.replay(step);
        if let Step::Promise(number) = step {
            promised.push(*number);
        }
        let mut cuts = chance.floor() as u64 + u64::from(rng.chance(chance.fract()));
        if at <= made {
            cuts = 0;
        }
        for _ in 0..cuts {
            outcome.states += 1;
            let promised = promised.iter().map(|number| &world.oracle.promises[*number]);
            if let Err(found) = cut(disk.clone(), promised, &world, &mut outcome.left, &mut rng) {
                let text =
                    format!("run {seed}, cut after step {at}: {}: {}", found.check, found.text);
                outcome.failures.push(text);
                return outcome;
            }
        }
    }
    outcome
}

/// The next boot repairs the database, and the power is cut again on the way.
fn cut_the_repair(mut disk: Disk, rng: &mut Rng) -> Result<Disk, Failure> {
    let shared = Rc::new(RefCell::new(disk.clone()));
    shared.borrow_mut().record();
    let open = |name: &str| {
        Box::new(SimFile {
            disk: shared.clone(),
            handles: Rc::default(),
            gate: Rc::default(),
            trace: Trace::default(),
            owner: 0,
            name: name.to_owned(),
            writable: true,
        })
    };
    let handles = Handles { database: open(DATABASE), journal: open(JOURNAL) };
    let broken = |e| failure("I5", format!("the database cannot be repaired: {e}"));
    drop(Image::over(handles).map_err(broken)?);
    let steps = shared.borrow_mut().recorded();
    for step in &steps[..rng.below(steps.len() as u64 + 1) as usize] {
        disk.replay(step);
    }
    disk.power_cut(rng);
    Ok(disk)
}

/// Cuts the power once; sometimes again while the database is being repaired.
fn cut<'a>(
    mut disk: Disk,
    promised: impl Iterator<Item = &'a (FrameKey, Told)>,
    world: &World,
    left: &mut [u64; 4],
    rng: &mut Rng,
) -> Result<(), Failure> {
    disk.power_cut(rng);
    left[match disk.journal_kind(JOURNAL) {
        // Nothing, or what is left of an emptied log.
        _ if disk.bytes(JOURNAL).first().is_none_or(|byte| *byte == 0) => 0,
        Some("log") => 1,
        Some(_) => 2,
        None => 3,
    }] += 1;
    if rng.chance(0.15) {
        disk = cut_the_repair(disk, rng)?;
    }
    let disk = RefCell::new(disk);
    let (rejected, queued) = (rejected_on(&disk), queued_on(&disk));
    let disk = disk.into_inner();
    let mut image = Image::open(disk.bytes(DATABASE), disk.bytes(JOURNAL))
        .map_err(|e| failure("I5", format!("the database cannot be opened: {e}")))?;
    let mut found = Found::read(&mut image, rejected, &queued)?;
    found.forget(|id| id.starts_with("first-"));
    let promised: BTreeSet<&FrameKey> = promised.map(|(key, _)| key).collect();
    world.oracle.check_promises(&found, &promised)
}
