//! Files on their way out: their parts are collected on JavaScript's side, where the page wants them, so
//! that wasm's memory, which never shrinks, holds one part at a time.

use super::convert;
use super::driver::Driver;
use crate::error::{Code, Error, Result};
use crate::node::Event;
use js_sys::{Array, Uint8Array};
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Blob, BlobPropertyBag};

#[wasm_bindgen]
extern "C" {
    /// A `Uint8Array` made of so many zeros, if there is room for them: js_sys's constructor traps.
    #[wasm_bindgen(js_name = Uint8Array)]
    type Room;
    #[wasm_bindgen(constructor, catch, js_class = "Uint8Array")]
    fn new(bytes: f64) -> std::result::Result<Room, JsValue>;
}

/// The type of an SQLite file (https://www.iana.org/assignments/media-types/application/vnd.sqlite3).
const MEDIA_TYPE: &str = "application/vnd.sqlite3";

/// What has come so far.
pub enum Export {
    /// One array for the whole file.
    Bytes(Option<Uint8Array>),
    /// Parts that the browser may keep on disk.
    Blob(Array),
}

impl Export {
    /// The next part; one at 0 begins anew.
    ///
    /// # Errors
    /// `WORKER_FAILED` when there is no room.
    pub fn add(&mut self, total: u64, offset: u64, part: &[u8]) -> Result<()> {
        match self {
            Export::Bytes(bytes) => {
                if offset == 0 {
                    *bytes = Some(room(total)?);
                }
                if let Some(bytes) = bytes {
                    let end = offset as u32 + part.len() as u32;
                    bytes.subarray(offset as u32, end).copy_from(part);
                }
            }
            Export::Blob(parts) => {
                if offset == 0 {
                    parts.set_length(0);
                }
                let copy = Array::of1(&Uint8Array::from(part));
                let blob = Blob::new_with_u8_array_sequence(&copy).map_err(|_| no_room(total))?;
                parts.push(&blob);
            }
        }
        Ok(())
    }

    /// The whole, and what of it is given away with it.
    ///
    /// # Errors
    /// `WORKER_FAILED` when the browser cannot put the parts together.
    pub fn finish(self) -> Result<(JsValue, Array)> {
        match self {
            Export::Bytes(bytes) => {
                let bytes = bytes.unwrap_or_else(|| Uint8Array::new_with_length(0));
                let transfer = Array::of1(&bytes.buffer());
                Ok((bytes.into(), transfer))
            }
            Export::Blob(parts) => {
                let options = BlobPropertyBag::new();
                options.set_type(MEDIA_TYPE);
                let blob = Blob::new_with_blob_sequence_and_options(&parts, &options);
                Ok((blob.map_err(|_| no_room(0))?.into(), Array::new()))
            }
        }
    }
}

fn room(total: u64) -> Result<Uint8Array> {
    if total > u64::from(u32::MAX) {
        return Err(no_room(total));
    }
    Room::new(total as f64).map(JsCast::unchecked_into).map_err(|_| no_room(total))
}

fn no_room(total: u64) -> Error {
    let message = format!("no memory for the {total} bytes of the file; exportBlob needs less");
    Error::new(Code::WorkerFailed, message)
}

impl Driver {
    /// This call's file is wanted as a Blob.
    pub fn export_as_blob(&self, call: u32) {
        self.exports.borrow_mut().insert(call, Export::Blob(Array::new()));
    }

    pub(super) fn export_part(self: &Rc<Self>, call: u32, total: u64, offset: u64, bytes: &[u8]) {
        let mut exports = self.exports.borrow_mut();
        let export = exports.get_or_insert(call, Export::Bytes(None));
        if let Err(error) = export.add(total, offset, bytes) {
            exports.remove(&call);
            convert::post_error(&self.post, call, &error, &[]);
            // The page has its answer; the node's own, to this, finds nobody.
            let driver = self.clone();
            spawn_local(async move { driver.dispatch(Event::Cancel(call)) });
        }
    }

    pub(super) fn export_done(&self, call: u32, export: Option<Export>) {
        match export.unwrap_or(Export::Bytes(None)).finish() {
            Ok((value, transfer)) => convert::post_value(&self.post, call, &value, &transfer),
            Err(error) => convert::post_error(&self.post, call, &error, &[]),
        }
    }
}
