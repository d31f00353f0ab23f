//! The durable queue's files: whole or not there, in order, refused ones kept with their reason.

use super::directory;
use framelock::error::{Code, Error};
use framelock::node::Rejected;
use framelock::platform::File;
use framelock::store::Mode;
use framelock::web::opfs;
use framelock::web::queue::QueueFiles;
use wasm_bindgen_test::wasm_bindgen_test;

/// The queue of a database that nobody has used before.
async fn fresh(database: &str) -> QueueFiles {
    opfs::delete(database).await.unwrap();
    QueueFiles::new(directory().await, database)
}

/// The frames that would be applied next, as text.
async fn head(queue: &QueueFiles) -> Vec<String> {
    let page = queue.load().await.unwrap();
    page.frames.into_iter().map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect()
}

fn report(frame_id: &str) -> Rejected {
    let error = Error::new(Code::Constraint, "no").at_row(7).in_table("t");
    Rejected { frame_id: frame_id.into(), table: "t".into(), rows: 9, error: (&error).into() }
}

#[wasm_bindgen_test]
async fn a_queue_that_was_never_used_is_empty() {
    let queue = fresh("web-queue-none").await;
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.queued, counts.rejected), (0, 0));
    assert_eq!(queue.next_order().await.unwrap(), 1);
    assert!(head(&queue).await.is_empty());
    assert!(queue.rejected().await.unwrap().is_empty());
    queue.remove(&["nothing".into()]).await.unwrap();
}

#[wasm_bindgen_test]
async fn frames_come_out_in_the_order_of_their_numbers() {
    let queue = fresh("web-queue-order").await;
    for order in [2, 10, 1, 9_999_999_999] {
        queue.add(order, "node", format!("frame {order}").as_bytes()).await.unwrap();
    }
    queue.add(10, "another", b"frame 10 of another").await.unwrap();
    let expected = ["frame 1", "frame 2", "frame 10 of another", "frame 10", "frame 9999999999"];
    assert_eq!(head(&queue).await, expected);
    assert_eq!(queue.next_order().await.unwrap(), 10_000_000_000);
    assert_eq!(queue.counts().await.unwrap().queued, 5);
    let page = queue.load().await.unwrap();
    let names: Vec<String> = page.frames.into_iter().take(2).map(|(name, _)| name).collect();
    queue.remove(&names).await.unwrap();
    queue.remove(&names).await.unwrap();
    assert_eq!(head(&queue).await, expected[2..]);
}

#[wasm_bindgen_test]
async fn what_was_never_finished_is_not_seen() {
    let queue = fresh("web-queue-torn").await;
    queue.add(1, "node", b"whole").await.unwrap();
    let folder = opfs::queue_name("web-queue-torn");
    let folder = super::eval(&format!(
        "navigator.storage.getDirectory().then((root) => root.getDirectoryHandle('framelock'))
           .then((folder) => folder.getDirectoryHandle('{folder}'))"
    ))
    .await
    .into();
    let torn = opfs::file_in(&folder, "00000000000000000000-node.tmp", true).await.unwrap();
    opfs::open(&torn, Mode::Exclusive).await.unwrap().write(b"ha", 0).unwrap();
    assert_eq!(head(&queue).await, ["whole"]);
    assert_eq!(queue.counts().await.unwrap().queued, 1);
}

#[wasm_bindgen_test]
async fn a_page_has_at_least_one_frame_however_large() {
    let queue = fresh("web-queue-large").await;
    let large = vec![1; 9 << 20];
    queue.add(1, "node", &large).await.unwrap();
    queue.add(2, "node", b"small").await.unwrap();
    let page = queue.load().await.unwrap();
    assert_eq!(page.frames.len(), 1);
    assert!(page.frames[0].1 == large);
    assert_eq!(page.counts.queued, 2);
    queue.remove(&[page.frames[0].0.clone()]).await.unwrap();
    assert_eq!(head(&queue).await, ["small"]);
    opfs::delete("web-queue-large").await.unwrap();
}

#[wasm_bindgen_test]
async fn refused_frames_are_listed_with_their_reason_and_can_come_back_or_go() {
    let queue = fresh("web-queue-refused").await;
    for (order, text) in [(1, "one"), (2, "two"), (3, "three")] {
        queue.add(order, "node", text.as_bytes()).await.unwrap();
    }
    let names: Vec<String> =
        queue.load().await.unwrap().frames.into_iter().map(|(name, _)| name).collect();
    queue.reject(&names[0], &report("first")).await.unwrap();
    queue.reject(&names[1], &report("second")).await.unwrap();
    // Told twice, as after a crash in between.
    queue.reject(&names[1], &report("second")).await.unwrap();
    let counts = queue.counts().await.unwrap();
    assert_eq!((counts.queued, counts.rejected), (1, 2));
    assert_eq!(queue.rejected().await.unwrap(), [report("first"), report("second")]);
    assert_eq!(head(&queue).await, ["three"]);
    queue.settle_rejected("first", true).await.unwrap();
    queue.settle_rejected("second", false).await.unwrap();
    queue.settle_rejected("unknown", true).await.unwrap();
    assert!(queue.rejected().await.unwrap().is_empty());
    let mut back = head(&queue).await;
    back.sort();
    assert_eq!(back, ["one", "three"]);
}
