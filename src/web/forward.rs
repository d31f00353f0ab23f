//! Forwarding in the browser: the sender's lock, tokens from the page, exchanges with the server. The
//! exchange itself is a function of the worker's (www/client/exchange.ts), which adds address and
//! token, compresses, and fetches.

use super::convert::{self, get, number};
use super::driver::{Driver, Storage};
use super::locks::{AbortController, LockEvent, LockRequest};
use crate::forward::{Answer, Method, Outcome, Request, Settings};
use crate::frame::ident::fold;
use crate::lease::LockId;
use crate::message::sender_name;
use crate::node::Event;
use crate::sorted::SortedMap;
use js_sys::{Array, Function, Object, Promise, Uint8Array};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

/// `(request, signal) => Promise<{ status, retryAfterMs, body }>`; rejects when no answer comes.
pub type ExchangeFn = Function;

/// What a driver has under way for forwarding.
#[derive(Default)]
pub struct Forwarding {
    exchange: Option<ExchangeFn>,
    locks: RefCell<SortedMap<LockId, LockRequest>>,
    exchanges: RefCell<SortedMap<u32, AbortController>>,
}

impl Forwarding {
    /// For a handle that was told where to.
    pub fn new(exchange: Option<ExchangeFn>) -> Forwarding {
        Forwarding { exchange, ..Forwarding::default() }
    }

    /// Lets go of everything.
    pub fn close(&self) {
        for request in std::mem::take(&mut *self.locks.borrow_mut()).into_values() {
            request.end();
        }
        for exchange in std::mem::take(&mut *self.exchanges.borrow_mut()).into_values() {
            exchange.abort();
        }
    }
}

/// `options.forward`, as the page has checked it: how to forward, and which tables always are.
pub fn settings(options: &JsValue) -> Option<(Settings, BTreeSet<String>)> {
    let forward = get(options, "forward");
    if !forward.is_object() {
        return None;
    }
    let default = Settings::default();
    let settings = Settings {
        keep_ms: number(&forward, "keepMs").unwrap_or(default.keep_ms),
        keep_bytes: number(&forward, "keepBytes").map_or(default.keep_bytes, |bytes| bytes as u64),
        has_token: get(&forward, "hasToken").is_truthy(),
    };
    let tables = get(&forward, "tables").dyn_into::<Array>().unwrap_or_default();
    let tables = tables.iter().filter_map(|table| table.as_string());
    let mut folded = BTreeSet::new();
    folded.extend(tables.map(|table| fold(&table)));
    Some((settings, folded))
}

impl Driver {
    pub(super) fn request_sender(self: &Rc<Self>, id: LockId) {
        let weak = Rc::downgrade(self);
        let tell = move |event: LockEvent| {
            if let Some(driver) = weak.upgrade() {
                driver.dispatch(match event {
                    LockEvent::Granted => Event::SenderGranted(id),
                    LockEvent::Lost => Event::SenderLost(id),
                });
            }
        };
        if matches!(self.storage, Storage::Memory(..)) {
            // Nobody else has this database.
            return spawn_local(async move { tell(LockEvent::Granted) });
        }
        let request = LockRequest::new(&sender_name(&self.name), true, tell);
        self.forwarding.locks.borrow_mut().insert(id, request);
    }

    pub(super) fn release_sender(&self, id: LockId) {
        if let Some(request) = self.forwarding.locks.borrow_mut().remove(&id) {
            request.end();
        }
    }

    pub(super) fn exchange(self: &Rc<Self>, id: u32, request: &Request) {
        let Some(exchange) = self.forwarding.exchange.clone() else {
            return;
        };
        let controller = AbortController::new();
        let given = request_object(request);
        let promise = exchange.call2(&JsValue::UNDEFINED, &given, &controller.signal());
        self.forwarding.exchanges.borrow_mut().insert(id, controller);
        let driver = self.clone();
        spawn_local(async move {
            let answer = match promise.and_then(|promise| promise.dyn_into::<Promise>()) {
                Ok(promise) => JsFuture::from(promise).await,
                Err(error) => Err(error),
            };
            if driver.forwarding.exchanges.borrow_mut().remove(&id).is_none() {
                return; // Cancelled.
            }
            let outcome = answer.map_or(Outcome::Failed, |answer| {
                Outcome::Answered(Answer {
                    status: number(&answer, "status").unwrap_or_default() as u16,
                    retry_after_ms: number(&answer, "retryAfterMs"),
                    body: get(&answer, "body").as_string().unwrap_or_default(),
                })
            });
            driver.dispatch(Event::Exchanged(id, outcome));
        });
    }

    pub(super) fn cancel_exchange(&self, id: u32) {
        if let Some(controller) = self.forwarding.exchanges.borrow_mut().remove(&id) {
            controller.abort();
        }
    }

    pub(super) fn ask_token(&self, id: u32, refresh: bool) {
        convert::post_token(&self.post, id, refresh);
    }
}

fn request_object(request: &Request) -> Object {
    let method = match request.method {
        Method::Get => "GET",
        Method::Put => "PUT",
    };
    convert::object(&[
        ("method", method.into()),
        ("path", request.path.as_str().into()),
        ("contentType", request.content_type.into()),
        ("contentDigest", request.content_digest.as_str().into()),
        ("itemDigest", request.item_digest.as_str().into()),
        ("body", Uint8Array::from(&request.body[..]).into()),
        ("gzip", request.gzip.into()),
    ])
}
