//! The durable queue's files (protocol: `node::queue`).
//!
//! ```text
//! framelock/<name>.queue/
//!   00000000000000000042-<node id>.frame      an envelope; the number orders the queue
//!   00000000000000000042-<node id>.error      one that the database refused
//!   00000000000000000042-<node id>.why        the reason, as JSON
//!   00000000000000000042-<node id>.tmp        one that is being written, or was never finished
//! ```
//!
//! A frame is written under another name, flushed, closed and then moved: a `.frame` file is whole.
//! Browsers do not say that a move is durable, and a power cut may undo it: a `.tmp` file that is
//! whole, by its checksum, is in the queue too, and whoever drains it moves it again.

use super::opfs::{self, await_as, file_error};
use crate::envelope;
use crate::json;
use crate::node::{QueueCounts, QueuePage, Rejected, queue_file_stem};
use crate::platform::{File, FileError, FileResult};
use crate::store::Mode;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{FileSystemDirectoryHandle, FileSystemFileHandle};

/// Read at a time; at least one frame, however large. Between two pages the lease may go to somebody who waits.
const PAGE_BYTES: usize = 8 << 20;
const PAGE_FRAMES: usize = 256;
const FRAME: &str = ".frame";
const UNFINISHED: &str = ".tmp";
/// No longer than that of a frame: Chromium counts names, and moves nothing to a longer one while the storage is full.
const REJECTED: &str = ".error";
const REASON: &str = ".why";

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(extends = FileSystemFileHandle)]
    type MovableHandle;
    #[wasm_bindgen(method, catch, js_name = "move")]
    fn move_to(this: &MovableHandle, name: &str) -> Result<Promise, JsValue>;
}

/// The queue of one database.
pub struct QueueFiles {
    parent: FileSystemDirectoryHandle,
    name: String,
}

impl QueueFiles {
    /// The queue's place; nothing is made before something is put there.
    pub fn new(parent: FileSystemDirectoryHandle, database: &str) -> QueueFiles {
        QueueFiles { parent, name: opfs::queue_name(database) }
    }

    async fn folder(&self, create: bool) -> FileResult<Option<FileSystemDirectoryHandle>> {
        opfs::folder(&self.parent, &self.name, create).await
    }

    /// File names in order, and how many are what.
    async fn names(&self) -> FileResult<(Vec<String>, QueueCounts)> {
        let Some(folder) = self.folder(false).await? else {
            return Ok(Default::default());
        };
        let mut names = opfs::names(&folder).await?;
        names.sort();
        let count = |suffix: &str| names.iter().filter(|n| n.ends_with(suffix)).count() as u64;
        let counts = QueueCounts { queued: count(FRAME), rejected: count(REJECTED) };
        Ok((names, counts))
    }

    /// How many frames wait, and how many were refused.
    pub async fn counts(&self) -> FileResult<QueueCounts> {
        Ok(self.names().await?.1)
    }

    /// Whether anything may wait: a frame, or one whose move a power cut took back.
    pub async fn may_wait(&self) -> bool {
        let names = self.names().await.map(|(names, _)| names).unwrap_or_default();
        names.iter().any(|name| name.ends_with(FRAME) || name.ends_with(UNFINISHED))
    }

    /// The number after the last one in use.
    pub async fn next_order(&self) -> FileResult<u64> {
        let (names, _) = self.names().await?;
        let last = names.iter().filter_map(|name| name.get(..20)?.parse::<u64>().ok()).max();
        Ok(last.map_or(1, |last| last + 1))
    }

    /// Puts an envelope behind everything that is there; durable when it returns.
    pub async fn add(&self, order: u64, node_id: &str, bytes: &[u8]) -> FileResult<()> {
        let Some(folder) = self.folder(true).await? else {
            return Err(FileError::Lost("the queue's folder cannot be made".into()));
        };
        let stem = queue_file_stem(order, node_id);
        let name = format!("{stem}{UNFINISHED}");
        let temporary = opfs::file_in(&folder, &name, true).await?;
        if let Err(error) = write(&temporary, bytes).await {
            let _torn_anyway = opfs::remove(&folder, &name, false).await;
            return Err(error);
        }
        // It is durable and whole: whoever drains the queue finds it under either name, and may even
        // have moved it already.
        let _found_under_either_name = rename(&temporary, &format!("{stem}{FRAME}")).await;
        Ok(())
    }

    /// Moves what is whole and still has its first name: a power cut took its move back, or its
    /// writer died before it. Who is still writing it has it open.
    async fn adopt(&self, folder: &FileSystemDirectoryHandle, names: &mut [String]) {
        for name in names.iter_mut().filter(|name| name.ends_with(UNFINISHED)) {
            if let Ok(adopted) = adopt_one(folder, name).await {
                *name = adopted;
            }
        }
    }

    /// The head of the queue.
    pub async fn load(&self) -> FileResult<QueuePage> {
        let (mut names, counts) = self.names().await?;
        let mut page = QueuePage { frames: Vec::new(), counts };
        let Some(folder) = self.folder(false).await? else {
            return Ok(page);
        };
        self.adopt(&folder, &mut names).await;
        names.sort();
        let mut size = 0;
        for name in names.into_iter().filter(|name| name.ends_with(FRAME)) {
            if size >= PAGE_BYTES || page.frames.len() >= PAGE_FRAMES {
                break;
            }
            match read(&folder, &name).await {
                Ok(bytes) => {
                    size += bytes.len();
                    page.frames.push((name, bytes));
                }
                // Applied and removed by the last holder, after the names were read.
                Err(FileError::Lost(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    /// Removes frames that are applied.
    pub async fn remove(&self, names: &[String]) -> FileResult<()> {
        let Some(folder) = self.folder(false).await? else {
            return Ok(());
        };
        for name in names {
            opfs::remove(&folder, name, false).await?;
        }
        Ok(())
    }

    /// Moves a frame to the rejected list. Whoever waits for it is told that it was refused: if the reason cannot be
    /// written, since the storage is full, it goes there without, or it might be applied later after all.
    pub async fn reject(&self, name: &str, report: &Rejected) -> FileResult<()> {
        let Some(folder) = self.folder(false).await? else {
            return Ok(());
        };
        let stem = name.trim_end_matches(FRAME);
        let text = serde_json::to_vec(report).unwrap_or_default();
        if let Ok(reason) = opfs::file_in(&folder, &format!("{stem}{REASON}"), true).await {
            let _goes_without = write(&reason, &text).await;
        }
        match opfs::file_in(&folder, name, false).await {
            Ok(frame) => rename(&frame, &format!("{stem}{REJECTED}")).await,
            Err(FileError::Lost(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The rejected list, in order, with the stems of the files.
    async fn rejected_with_stems(&self) -> FileResult<Vec<(String, Rejected)>> {
        let (names, _) = self.names().await?;
        let Some(folder) = self.folder(false).await? else {
            return Ok(Vec::new());
        };
        let mut list = Vec::new();
        for stem in names.iter().filter_map(|name| name.strip_suffix(REJECTED)) {
            let report = read(&folder, &format!("{stem}{REASON}")).await;
            let report = match report.ok().and_then(|bytes| json::read(&bytes).ok()) {
                Some(report) => report,
                None => match read(&folder, &format!("{stem}{REJECTED}")).await {
                    Ok(frame) => Rejected::without_reason(stem, &frame),
                    // Somebody has put it back, or discarded it.
                    Err(_) => continue,
                },
            };
            list.push((stem.to_owned(), report));
        }
        Ok(list)
    }

    /// The rejected list, in order.
    pub async fn rejected(&self) -> FileResult<Vec<Rejected>> {
        let list = self.rejected_with_stems().await?;
        Ok(list.into_iter().map(|(_, report)| report).collect())
    }

    /// Takes a frame off the rejected list: back into the queue, or away for good.
    pub async fn settle_rejected(&self, frame_id: &str, again: bool) -> FileResult<()> {
        let list = self.rejected_with_stems().await?;
        let Some(folder) = self.folder(false).await? else {
            return Ok(());
        };
        for (stem, _) in list.iter().filter(|(_, report)| report.frame_id == frame_id) {
            let name = format!("{stem}{REJECTED}");
            if again {
                let frame = opfs::file_in(&folder, &name, false).await?;
                // The reason stays: another tab may be rejecting the frame again by now, and would
                // lose its new reason. Without an `.error` beside it, nobody reads it.
                rename(&frame, &format!("{stem}{FRAME}")).await?;
            } else {
                opfs::remove(&folder, &name, false).await?;
                opfs::remove(&folder, &format!("{stem}{REASON}"), false).await?;
            }
        }
        Ok(())
    }
}

async fn adopt_one(folder: &FileSystemDirectoryHandle, name: &str) -> FileResult<String> {
    let file = opfs::file_in(folder, name, false).await?;
    let found = await_as::<web_sys::File>(file.get_file()).await.map_err(|e| file_error(&e))?;
    if found.size() == 0.0 {
        // Its writer is about to open it, and would find it in use.
        return Err(FileError::Io("it was not begun".into()));
    }
    let mut handle = opfs::open(&file, Mode::Exclusive).await?;
    let mut bytes = vec![0; handle.size()? as usize];
    let read = handle.read(&mut bytes, 0)?;
    if !envelope::is_whole(&bytes[..read]) {
        return Err(FileError::Io("it was never finished".into()));
    }
    // Its writer may have died before it did that.
    handle.flush()?;
    drop(handle);
    let adopted = format!("{}{FRAME}", name.trim_end_matches(UNFINISHED));
    rename(&file, &adopted).await.map(|()| adopted)
}

async fn rename(file: &FileSystemFileHandle, name: &str) -> FileResult<()> {
    let file: &MovableHandle = file.unchecked_ref();
    let promise = file.move_to(name).map_err(|e| file_error(&e))?;
    await_as::<JsValue>(promise).await.map(|_| ()).map_err(|e| file_error(&e))
}

/// Makes this the content of a file; durable when it returns.
async fn write(file: &FileSystemFileHandle, bytes: &[u8]) -> FileResult<()> {
    let mut handle = opfs::open(file, Mode::Exclusive).await?;
    handle.truncate(0)?;
    let written = handle.write(bytes, 0).and_then(|()| handle.flush());
    if written.is_err() {
        // The caller is told that it failed: nobody may take it for whole.
        let _torn_anyway = handle.truncate(0);
    }
    written
}

async fn read(folder: &FileSystemDirectoryHandle, name: &str) -> FileResult<Vec<u8>> {
    let handle = opfs::file_in(folder, name, false).await?;
    let bytes = async {
        let file: web_sys::File = await_as(handle.get_file()).await?;
        let buffer: js_sys::ArrayBuffer = await_as(file.array_buffer()).await?;
        Ok::<_, JsValue>(Uint8Array::new(&buffer).to_vec())
    };
    bytes.await.map_err(|e| file_error(&e))
}
