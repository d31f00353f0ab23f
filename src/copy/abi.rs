//! What the server's wasm exports: a C interface of a few functions.
//!
//! There is no glue of wasm-bindgen, which has one instance for ever: the server makes an instance
//! for each frame that it works on, and throws away one that has grown large or that has trapped.
//! An instance works on one frame at a time.
//!
//! ```text
//! framelock_alloc(n) → p           room for n bytes, handed back by the call that takes them
//! framelock_open(p, n, q, m) → s   a frame's IPC bytes and { constants, limits } as JSON
//! framelock_plan(p, n) → s         a target as JSON; the result is a plan as JSON
//! framelock_next(n) → s            the result is the next piece of the COPY; 2 after the last
//! framelock_plan_insert(p, n) → s a target as JSON; the result is a plan for ClickHouse as JSON
//! framelock_stream(p, n) → s       { tag, value } as JSON; the result is an Arrow IPC stream
//! framelock_close()                forgets the frame and the result
//! framelock_result_at() → p, framelock_result_len() → n
//! s: 0 well, 1 refused (the result is the refusal as JSON), 2 nothing left, 3 misused (the result says how)
//! ```

use std::cell::RefCell;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::job::{Job, Limits};
use super::refusal::Refusal;

const WELL: u32 = 0;
const REFUSED: u32 = 1;
const NOTHING_LEFT: u32 = 2;
const MISUSED: u32 = 3;

/// Why a call does nothing.
enum Failure {
    /// It is the frame's fault.
    Refused(Refusal),
    /// It is not: our own TypeScript's, or that of whoever gave it a limit that is no number, or a policy that does not exist.
    Misused(String),
}

type Result<T> = std::result::Result<T, Failure>;

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

#[derive(Default)]
struct State {
    job: Option<Job>,
    result: Vec<u8>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

#[derive(Deserialize)]
struct Opening {
    constants: Map<String, Value>,
    limits: Limits,
}

#[derive(Deserialize)]
struct Tag {
    tag: String,
    value: String,
}

/// Room for so many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn framelock_alloc(length: usize) -> *mut u8 {
    Box::into_raw(vec![0_u8; length].into_boxed_slice()).cast()
}

/// # Safety
/// `at` is what `framelock_alloc(length)` gave, and was not handed back before.
unsafe fn taken(at: *mut u8, length: usize) -> Vec<u8> {
    // SAFETY: the caller's obligation; this is the box that was leaked, with its own length.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(at, length)) }.into_vec()
}

/// Opens a frame; the result is `{ "rows": … }`.
///
/// # Safety
/// Both pairs are rooms of `framelock_alloc`, and are handed back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn framelock_open(
    frame: *mut u8,
    frame_length: usize,
    opening: *mut u8,
    opening_length: usize,
) -> u32 {
    // SAFETY: the caller's obligation, handed on.
    let (frame, opening) = unsafe { (taken(frame, frame_length), taken(opening, opening_length)) };
    answer(|state| {
        state.job = None;
        let Opening { constants, limits } = read(&opening)?;
        let job = Job::open(frame, &constants, limits)?;
        let rows = job.rows();
        state.job = Some(job);
        Ok(Some(format!("{{\"rows\":{rows}}}").into_bytes()))
    })
}

/// Plans for a table as it is now.
///
/// # Safety
/// The pair is a room of `framelock_alloc`, and is handed back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn framelock_plan(target: *mut u8, length: usize) -> u32 {
    // SAFETY: the caller's obligation, handed on.
    let target = unsafe { taken(target, length) };
    answer(|state| {
        let target = read(&target)?;
        let plan = job(state)?.plan(&target)?;
        serde_json::to_vec(&plan).map(Some).map_err(misused)
    })
}

/// Plans for a table of ClickHouse as it is now.
///
/// # Safety
/// The pair is a room of `framelock_alloc`, and is handed back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn framelock_plan_insert(target: *mut u8, length: usize) -> u32 {
    // SAFETY: the caller's obligation, handed on.
    let target = unsafe { taken(target, length) };
    answer(|state| {
        let target = read(&target)?;
        let plan = job(state)?.plan_insert(&target)?;
        serde_json::to_vec(&plan).map(Some).map_err(misused)
    })
}

/// The rows as an Arrow IPC stream with a column of one tag.
///
/// # Safety
/// The pair is a room of `framelock_alloc`, and is handed back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn framelock_stream(tag: *mut u8, length: usize) -> u32 {
    // SAFETY: the caller's obligation, handed on.
    let tag = unsafe { taken(tag, length) };
    answer(|state| {
        let Tag { tag, value } = read(&tag)?;
        Ok(Some(job(state)?.stream(&tag, &value)?))
    })
}

/// The next piece of the planned COPY, of at least so many bytes but for the last.
#[unsafe(no_mangle)]
pub extern "C" fn framelock_next(bytes: usize) -> u32 {
    answer(|state| Ok(job(state)?.next(bytes)?))
}

/// Forgets the frame and the result.
#[unsafe(no_mangle)]
pub extern "C" fn framelock_close() {
    STATE.with_borrow_mut(|state| *state = State::default());
}

/// Where the last result is, until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn framelock_result_at() -> *const u8 {
    STATE.with_borrow(|state| state.result.as_ptr())
}

/// How long the last result is.
#[unsafe(no_mangle)]
pub extern "C" fn framelock_result_len() -> usize {
    STATE.with_borrow(|state| state.result.len())
}

fn answer(work: impl FnOnce(&mut State) -> Result<Option<Vec<u8>>>) -> u32 {
    STATE.with_borrow_mut(|state| {
        state.result = Vec::new();
        match work(state) {
            Ok(Some(result)) => {
                state.result = result;
                WELL
            }
            Ok(None) => NOTHING_LEFT,
            Err(Failure::Refused(refusal)) => {
                // A refusal is three strings and a number: it always has a JSON.
                state.result = serde_json::to_vec(&refusal).unwrap_or_default();
                REFUSED
            }
            Err(Failure::Misused(how)) => {
                state.result = how.into_bytes();
                MISUSED
            }
        }
    })
}

fn job(state: &mut State) -> Result<&mut Job> {
    state.job.as_mut().ok_or_else(|| misused("no frame is open"))
}

fn read<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(misused)
}

fn misused(how: impl ToString) -> Failure {
    Failure::Misused(how.to_string())
}
