//! Web Locks: who is granted what, in which order, and what becomes of requests taken back.

use super::{eval, settle};
use framelock::web::locks::{self, LockEvent, LockRequest};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen_test::wasm_bindgen_test;

/// What requests were told, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn request(&self, lock: &str, who: &'static str, exclusive: bool) -> LockRequest {
        let log = self.clone();
        LockRequest::new(lock, exclusive, move |event| {
            let what = match event {
                LockEvent::Granted => "granted",
                LockEvent::Lost => "lost",
            };
            log.0.borrow_mut().push(format!("{who} {what}"));
        })
    }

    /// What was told since the last look.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.borrow_mut())
    }
}

#[wasm_bindgen_test]
async fn grants_come_one_at_a_time_in_the_order_of_the_requests() {
    let log = Log::default();
    let requests = ["a", "b", "c"].map(|who| log.request("web/order", who, true));
    settle().await;
    assert_eq!(log.take(), ["a granted"]);
    requests[0].end();
    settle().await;
    assert_eq!(log.take(), ["b granted"]);
    requests[1].end();
    settle().await;
    assert_eq!(log.take(), ["c granted"]);
    requests[2].end();
    settle().await;
    assert!(log.take().is_empty());
}

#[wasm_bindgen_test]
async fn a_request_that_is_taken_back_hears_nothing_and_stands_in_nobodys_way() {
    let log = Log::default();
    let [a, b, c] = ["a", "b", "c"].map(|who| log.request("web/cancel", who, true));
    settle().await;
    assert_eq!(log.take(), ["a granted"]);
    b.end();
    b.end();
    a.end();
    settle().await;
    assert_eq!(log.take(), ["c granted"]);
    c.end();
    // Taken back before it was even asked for.
    let d = log.request("web/cancel", "d", true);
    d.end();
    let e = log.request("web/cancel", "e", true);
    settle().await;
    assert_eq!(log.take(), ["e granted"]);
    e.end();
}

#[wasm_bindgen_test]
async fn what_is_dropped_is_let_go_of() {
    let log = Log::default();
    let [a, b, c] = ["a", "b", "c"].map(|who| log.request("web/dropped", who, true));
    settle().await;
    drop(b);
    drop(a);
    settle().await;
    assert_eq!(log.take(), ["a granted", "c granted"]);
    drop(c);
}

#[wasm_bindgen_test]
async fn readers_share_and_a_writer_waits_for_all_of_them() {
    let log = Log::default();
    let a = log.request("web/shared", "a", false);
    let b = log.request("web/shared", "b", false);
    let w = log.request("web/shared", "w", true);
    let c = log.request("web/shared", "c", false);
    settle().await;
    assert_eq!(log.take(), ["a granted", "b granted"], "c waits behind the writer");
    a.end();
    settle().await;
    assert!(log.take().is_empty());
    b.end();
    settle().await;
    assert_eq!(log.take(), ["w granted"]);
    w.end();
    settle().await;
    assert_eq!(log.take(), ["c granted"]);
    c.end();
}

#[wasm_bindgen_test]
async fn a_stolen_lock_is_lost_once() {
    let log = Log::default();
    let a = log.request("web/stolen", "a", true);
    settle().await;
    assert_eq!(log.take(), ["a granted"]);
    eval("navigator.locks.request('web/stolen', { steal: true }, async () => {})").await;
    settle().await;
    assert_eq!(log.take(), ["a lost"]);
    a.end();
    let b = log.request("web/stolen", "b", true);
    settle().await;
    assert_eq!(log.take(), ["b granted"]);
    b.end();
}

#[wasm_bindgen_test]
async fn work_that_wants_a_free_lock_runs_only_then() {
    let log = Log::default();
    let held = log.request("web/free", "held", true);
    settle().await;
    let refused = locks::with_free_lock("web/free", async { 1 }).await.unwrap();
    assert_eq!(refused, None);
    held.end();
    settle().await;
    let nested = locks::with_free_lock("web/free", async {
        locks::with_free_lock("web/free", async { 2 }).await.unwrap()
    });
    assert_eq!(nested.await.unwrap(), Some(None), "it is held while the work runs");
    let free = locks::with_free_lock("web/free", async { 3 }).await.unwrap();
    assert_eq!(free, Some(3));
}

#[wasm_bindgen_test]
async fn a_snapshot_names_who_holds_and_who_waits() {
    assert!(locks::available());
    let log = Log::default();
    let a = log.request("web/seen", "a", true);
    let b = log.request("web/seen", "b", true);
    settle().await;
    let snapshot = locks::snapshot().await;
    let count = |list: &[String]| list.iter().filter(|name| *name == "web/seen").count();
    assert_eq!((count(&snapshot.held_alone), count(&snapshot.pending)), (1, 1));
    a.end();
    b.end();
    settle().await;
    assert_eq!(count(&locks::snapshot().await.held_alone), 0);
}
