//! Web Locks (W3C Web Locks API): requests that can be taken back, and a look at who waits.

use super::convert::get;
use js_sys::{Array, Function, Object, Promise, Reflect};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

#[wasm_bindgen]
extern "C" {
    #[derive(Clone)]
    type LockManager;
    #[wasm_bindgen(thread_local_v2, js_namespace = ["globalThis", "navigator"], js_name = locks)]
    static LOCKS: Option<LockManager>;
    #[wasm_bindgen(method, catch)]
    fn request(
        this: &LockManager,
        name: &str,
        options: &Object,
        callback: &Function,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn query(this: &LockManager) -> Result<Promise, JsValue>;

    /// Takes back what its signal was given to.
    pub type AbortController;
    #[wasm_bindgen(constructor, js_class = "AbortController")]
    pub fn new() -> AbortController;
    #[wasm_bindgen(method)]
    pub fn abort(this: &AbortController);
    #[wasm_bindgen(method, getter)]
    pub fn signal(this: &AbortController) -> JsValue;
}

/// What a request became.
pub enum LockEvent {
    /// It is ours until [`LockRequest::end`].
    Granted,
    /// The request was refused, or the lock was taken from us.
    Lost,
}

#[derive(Default)]
struct Shared {
    resolve: Option<Function>,
    ended: bool,
}

/// A request for a lock, and the lock once it is granted. Ends when told to or dropped, or with the worker.
pub struct LockRequest {
    controller: AbortController,
    shared: Rc<RefCell<Shared>>,
}

impl LockRequest {
    /// Asks for a lock; `tell` hears what becomes of it.
    pub fn new(name: &str, exclusive: bool, tell: impl Fn(LockEvent) + 'static) -> LockRequest {
        let controller = AbortController::new();
        let shared = Rc::new(RefCell::new(Shared::default()));
        let tell = Rc::new(tell);
        let options = Object::new();
        let mode = if exclusive { "exclusive" } else { "shared" };
        let set = Reflect::set(&options, &"mode".into(), &mode.into())
            .and_then(|_| Reflect::set(&options, &"signal".into(), &controller.signal()));
        let on_grant = {
            let (shared, tell) = (shared.clone(), tell.clone());
            Closure::once_into_js(move |_lock: JsValue| -> Promise {
                let held = Promise::new(&mut |resolve, _| {
                    let mut shared = shared.borrow_mut();
                    if shared.ended {
                        let _nobody_listens = resolve.call0(&JsValue::UNDEFINED);
                    } else {
                        shared.resolve = Some(resolve);
                    }
                });
                if !shared.borrow().ended {
                    tell(LockEvent::Granted);
                }
                held
            })
        };
        let requested = set.and_then(|_| {
            let locks = LOCKS.with(Clone::clone).ok_or_else(|| JsValue::from("no Web Locks"))?;
            locks.request(name, &options, on_grant.unchecked_ref())
        });
        let watched = shared.clone();
        spawn_local(async move {
            let outcome = match requested {
                Ok(promise) => JsFuture::from(promise).await,
                Err(error) => Err(error),
            };
            if outcome.is_err() && !watched.borrow().ended {
                watched.borrow_mut().ended = true;
                tell(LockEvent::Lost);
            }
        });
        LockRequest { controller, shared }
    }

    /// Takes the request back, or gives the lock up; once is enough.
    pub fn end(&self) {
        let mut shared = self.shared.borrow_mut();
        if std::mem::replace(&mut shared.ended, true) {
            return;
        }
        match shared.resolve.take() {
            Some(resolve) => {
                let _nobody_listens = resolve.call0(&JsValue::UNDEFINED);
            }
            None => self.controller.abort(),
        }
    }
}

/// Whoever fails half-way through opening leaves no lock behind: under framelock/here the worker lives on.
impl Drop for LockRequest {
    fn drop(&mut self) {
        self.end();
    }
}

/// A shared lock that is asked for again when somebody takes it away.
pub struct LastingLock {
    request: Rc<RefCell<Option<LockRequest>>>,
}

impl LastingLock {
    /// Waits for it; gives nothing if the browser refuses it.
    pub async fn take(name: &str) -> Option<LastingLock> {
        let request = Rc::new(RefCell::new(None));
        let granted = Promise::new(&mut |resolve, _| {
            ask(name.to_owned(), Rc::downgrade(&request), resolve);
        });
        let granted = JsFuture::from(granted).await.is_ok_and(|answer| answer.is_truthy());
        granted.then_some(LastingLock { request })
    }

    /// Gives it up.
    pub fn end(&self) {
        drop(self.request.take());
    }
}

/// `tell` hears whether it was granted the first time.
fn ask(name: String, place: Weak<RefCell<Option<LockRequest>>>, tell: Function) {
    let Some(request) = place.upgrade() else {
        return;
    };
    let held = Cell::new(false);
    let asked = LockRequest::new(&name.clone(), false, move |event| {
        let granted = matches!(event, LockEvent::Granted);
        if !granted && held.get() {
            return ask(name.clone(), place.clone(), tell.clone());
        }
        // What was never granted is refused each time.
        held.set(granted);
        let _nobody_listens = tell.call1(&JsValue::UNDEFINED, &granted.into());
    });
    request.replace(Some(asked));
}

/// Runs `work` while holding a lock alone, if it is free right now; gives nothing if it is not.
pub async fn with_free_lock<T: 'static>(
    name: &str,
    work: impl Future<Output = T> + 'static,
) -> Result<Option<T>, JsValue> {
    let result = Rc::new(RefCell::new(None));
    let options = Object::new();
    Reflect::set(&options, &"ifAvailable".into(), &true.into())?;
    let callback = {
        let result = result.clone();
        Closure::once_into_js(move |lock: JsValue| -> Promise {
            if lock.is_null() {
                return Promise::resolve(&JsValue::UNDEFINED);
            }
            wasm_bindgen_futures::future_to_promise(async move {
                let value = work.await;
                *result.borrow_mut() = Some(value);
                Ok(JsValue::UNDEFINED)
            })
        })
    };
    let locks = LOCKS.with(Clone::clone).ok_or_else(|| JsValue::from("no Web Locks"))?;
    JsFuture::from(locks.request(name, &options, callback.unchecked_ref())?).await?;
    Ok(result.take())
}

/// Who holds which locks alone, and who waits for which, by name.
#[derive(Default)]
pub struct Snapshot {
    pub held_alone: Vec<String>,
    pub pending: Vec<String>,
}

/// The origin's locks at this moment; empty when the browser will not say.
pub async fn snapshot() -> Snapshot {
    let Some(Ok(promise)) = LOCKS.with(Clone::clone).map(|locks| locks.query()) else {
        return Snapshot::default();
    };
    let Ok(answer) = JsFuture::from(promise).await else { return Snapshot::default() };
    let held = infos(&answer, "held");
    let text = |info: &JsValue, key: &str| get(info, key).as_string();
    let alone = held.iter().filter(|info| text(info, "mode").as_deref() == Some("exclusive"));
    Snapshot {
        held_alone: alone.filter_map(|info| text(info, "name")).collect(),
        pending: infos(&answer, "pending").iter().filter_map(|info| text(info, "name")).collect(),
    }
}

fn infos(answer: &JsValue, list: &str) -> Vec<JsValue> {
    Array::from(&get(answer, list)).to_vec()
}

/// Whether this browser has Web Locks.
pub fn available() -> bool {
    LOCKS.with(Option::is_some)
}
