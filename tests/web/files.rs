//! Access handles behave like a plain file, and say what went wrong in our words.

use super::directory;
use framelock::platform::{File, FileError, MemoryFile};
use framelock::store::Mode;
use framelock::web::opfs::{self, DatabaseFiles};
use wasm_bindgen_test::wasm_bindgen_test;

/// A new, empty file of the folder, opened.
async fn fresh(name: &str) -> opfs::OpfsFile {
    let file = opfs::file_in(&directory().await, name, true).await.unwrap();
    let mut handle = opfs::open(&file, Mode::Exclusive).await.unwrap();
    handle.truncate(0).unwrap();
    handle
}

/// A repeatable number below `bound`.
fn random(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

#[wasm_bindgen_test]
async fn random_operations_equal_a_file_in_memory() {
    let mut real = fresh("web-random").await;
    let mut plain = MemoryFile::default();
    let state = &mut 7;
    for step in 0..3000u64 {
        let offset = random(state, 70_000);
        let length = random(state, 9_000) as usize;
        match random(state, 8) {
            0..=2 => {
                let bytes: Vec<u8> = (0..length).map(|i| (i as u64 * step) as u8).collect();
                real.write(&bytes, offset).unwrap();
                plain.write(&bytes, offset).unwrap();
            }
            3..=5 => {
                let (mut a, mut b) = (vec![0xaa; length], vec![0xaa; length]);
                let counts =
                    (real.read(&mut a, offset).unwrap(), plain.read(&mut b, offset).unwrap());
                assert_eq!(counts.0, counts.1, "step {step}");
                assert!(a == b, "step {step}: the bytes at {offset} differ");
            }
            6 => {
                real.truncate(offset).unwrap();
                plain.truncate(offset).unwrap();
            }
            _ => real.flush().unwrap(),
        }
        assert_eq!(real.size().unwrap(), plain.size().unwrap(), "step {step}");
    }
}

#[wasm_bindgen_test]
async fn a_gap_is_zeros_and_the_end_is_the_end() {
    let mut file = fresh("web-gap").await;
    file.write(b"end", 1001).unwrap();
    assert_eq!(file.size().unwrap(), 1004);
    let mut bytes = [9; 1010];
    assert_eq!(file.read(&mut bytes, 0).unwrap(), 1004);
    assert!(bytes[..1001].iter().all(|byte| *byte == 0));
    assert_eq!(&bytes[1001..1004], b"end");
    assert_eq!(file.read(&mut bytes, 1004).unwrap(), 0);
    assert_eq!(file.read(&mut bytes, 1 << 40).unwrap(), 0);
    file.truncate(2000).unwrap();
    assert_eq!(file.read(&mut bytes[..5], 1995).unwrap(), 5);
    assert_eq!(bytes[..5], [0; 5]);
    file.write(b"", 5000).unwrap();
    assert_eq!(file.size().unwrap(), 2000, "writing nothing makes no file longer");
}

#[wasm_bindgen_test]
async fn many_megabytes_in_one_call_and_after_reopening() {
    let bytes: Vec<u8> = (0..9_000_001u32).map(|i| (i / 3) as u8).collect();
    let mut file = fresh("web-large").await;
    file.write(&bytes, 3).unwrap();
    file.flush().unwrap();
    drop(file);
    let found = opfs::file_in(&directory().await, "web-large", false).await.unwrap();
    let mut again = opfs::open(&found, Mode::Exclusive).await.unwrap();
    let mut back = vec![0; bytes.len()];
    assert_eq!(again.read(&mut back, 3).unwrap(), bytes.len());
    assert!(back == bytes, "what was written is read");
    again.truncate(0).unwrap();
}

#[wasm_bindgen_test]
async fn an_open_file_is_in_use_and_free_once_it_is_dropped() {
    let first = fresh("web-exclusive").await;
    let file = opfs::file_in(&directory().await, "web-exclusive", false).await.unwrap();
    match opfs::open(&file, Mode::Exclusive).await {
        Err(FileError::InUse(_)) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("two handles on one file"),
    }
    drop(first);
    assert!(opfs::open(&file, Mode::Exclusive).await.is_ok());
}

#[wasm_bindgen_test]
async fn shared_reads_are_found_out_by_trying_and_then_work() {
    let directory = directory().await;
    let shared = opfs::shared_reads(&directory).await;
    assert_eq!(shared, opfs::shared_reads(&directory).await, "asking twice gives one answer");
    drop(fresh("web-shared").await);
    let file = opfs::file_in(&directory, "web-shared", false).await.unwrap();
    let first = opfs::open(&file, Mode::Shared).await.unwrap();
    let second = opfs::open(&file, Mode::Shared).await;
    assert_eq!(second.is_ok(), shared, "two readers at once");
    let writer = opfs::open(&file, Mode::Exclusive).await;
    assert!(matches!(writer, Err(FileError::InUse(_))), "no writer beside a reader");
    drop((first, second));
    assert!(opfs::open(&file, Mode::Exclusive).await.is_ok());
}

#[wasm_bindgen_test]
async fn a_file_that_vanished_is_lost_and_not_made_anew() {
    let directory = directory().await;
    let files = DatabaseFiles::locate(&directory, "web-vanishing").await.unwrap();
    assert!(files.first_bytes(16).await.unwrap().is_empty());
    let mut handles = files.open(Mode::Exclusive).await.unwrap();
    handles.database.write(b"0123456789abcdef more", 0).unwrap();
    drop(handles);
    assert_eq!(files.first_bytes(16).await.unwrap(), b"0123456789abcdef");
    assert!(opfs::list().await.unwrap().contains(&"web-vanishing".to_owned()));
    opfs::delete("web-vanishing").await.unwrap();
    opfs::delete("web-vanishing").await.unwrap();
    assert!(!opfs::list().await.unwrap().contains(&"web-vanishing".to_owned()));
    assert!(matches!(files.open(Mode::Exclusive).await, Err(FileError::Lost(_))));
    let missing = opfs::file_in(&directory, "web-vanishing", false).await;
    assert!(matches!(missing, Err(FileError::Lost(_))));
}

#[wasm_bindgen_test]
async fn the_list_leaves_out_journals_and_queues() {
    let directory = directory().await;
    for name in ["web-b", "web-a"] {
        DatabaseFiles::locate(&directory, name).await.unwrap();
    }
    let listed = opfs::list().await.unwrap();
    let ours: Vec<&str> = listed.iter().map(String::as_str).filter(|n| n.len() == 5).collect();
    assert_eq!(ours, ["web-a", "web-b"]);
    assert!(listed.iter().all(|name| !name.ends_with("-journal") && !name.ends_with(".queue")));
    for name in ["web-a", "web-b"] {
        opfs::delete(name).await.unwrap();
    }
}
