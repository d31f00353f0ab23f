//! Arrow's own files: each comes back from SQLite as it was, or is refused with a code.
//!
//! They are not in this repository. With a checkout of apache/arrow-testing:
//! `FRAMELOCK_ARROW_FILES=<checkout>/data cargo test --test frame arrow_files -- --ignored`

use std::path::{Path, PathBuf};

use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use framelock::error::Code;
use framelock::frame::Frame;
use framelock::frame::storage::read_back_type;

use super::harness::*;
use super::random::cells;

#[test]
#[ignore = "needs Arrow's files"]
fn every_file_comes_back_or_is_refused() {
    let root = std::env::var("FRAMELOCK_ARROW_FILES").expect("FRAMELOCK_ARROW_FILES");
    let (mut kept, mut refused) = (0, 0);
    for path in files(Path::new(&root)) {
        match comes_back(&path) {
            true => kept += 1,
            false => refused += 1,
        }
    }
    println!("{kept} files came back, {refused} were refused");
    assert!(kept > 0);
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.to_string_lossy().contains("arrow-ipc") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Whether the file comes back; `false` when it is refused.
fn comes_back(path: &Path) -> bool {
    let name = path.display();
    let bytes = std::fs::read(path).expect("bytes");
    let frame = match Frame::decode(Buffer::from(bytes)) {
        Ok(frame) => frame,
        Err(error) => {
            let codes = [Code::InvalidFrame, Code::UnsupportedType, Code::InvalidArgument];
            assert!(codes.contains(&error.code), "{name}: {error}");
            return false;
        }
    };
    let db = Db::new();
    let coerced = match db.append("t", &frame, &options(r#"{"lossy":"allow"}"#)) {
        Ok(coerced) => coerced,
        Err(error) => {
            assert_eq!(error.code, Code::SchemaMismatch, "{name}: {error}");
            return false;
        }
    };
    let read = db.read("t").expect("a read");
    let wanted = concat_batches(&frame.schema, &frame.batches).expect("one batch");
    for (field, (read, wanted)) in
        frame.schema.fields().iter().zip(read.columns().iter().zip(wanted.columns()))
    {
        if !coerced.contains_key(field.name()) {
            assert_eq!(read.data_type(), &read_back_type(field.data_type()), "{name}: {field}");
            assert_eq!(cells(read), cells(wanted), "{name}: {field}");
        }
    }
    true
}
