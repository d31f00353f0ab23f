//! The browser layer in a real dedicated worker, on real OPFS: files against a plain file in
//! memory, locks, the queue's files, and what the browser can do. Run by `npm test -- web`.
#![cfg(target_family = "wasm")]

mod files;
mod locks;
mod queue;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::FileSystemDirectoryHandle;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// framelock's folder.
async fn directory() -> FileSystemDirectoryHandle {
    framelock::web::opfs::directory().await.expect("OPFS is there")
}

/// Lets everything that is due run; 20 ms are many turns of the event loop.
async fn settle() {
    let wait = Function::new_no_args("return new Promise((resolve) => setTimeout(resolve, 20))");
    let promise: Promise = wait.call0(&JsValue::NULL).unwrap().unchecked_into();
    JsFuture::from(promise).await.unwrap();
}

/// Evaluates an expression that gives a promise.
async fn eval(expression: &str) -> JsValue {
    let run = Function::new_no_args(&format!("return ({expression})"));
    let promise = Promise::resolve(&run.call0(&JsValue::NULL).unwrap());
    JsFuture::from(promise).await.unwrap_or_else(|thrown| thrown)
}
