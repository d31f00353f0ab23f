//! What the sender makes of what a server does not take.

use crate::desk::{Desk, other};
use framelock::error::Code;
use framelock::forward::{Digest, Happened, Outcome};

#[test]
fn a_refused_item_is_found_among_its_neighbours_and_skipped() {
    let mut desk = Desk::begun(3);
    let refusal = r#"{"code":"REJECTED","reason":"CONSTRAINT","column":"n","row":0}"#;
    desk.answer(422, refusal);
    assert_eq!(desk.path(), "/frames/1?table=t");
    desk.takes();
    assert_eq!(desk.path(), "/frames/2?table=t");
    let digest = desk.digest(2);
    desk.answer(422, refusal);
    desk.wait(200.0);
    assert_eq!(desk.path(), "/frames/2?table=t&skip=1");
    let (_, request) = desk.asked.as_ref().unwrap();
    let body = String::from_utf8(request.body.clone()).unwrap();
    assert!(body.contains(&digest.text()) && body.contains("CONSTRAINT"), "{body}");
    let letters = desk.store.dead_letters().unwrap();
    assert_eq!((letters.len(), letters[0].seq, &*letters[0].refused.code), (1, 2, "CONSTRAINT"));
    desk.stands(201, 2, Some(digest));
    assert_eq!((desk.path(), desk.numbers()), ("/frames/3?table=t", vec![3]));
    desk.takes();
    assert_eq!((desk.status().pending, desk.status().dead_letters), (0, 1));
    let told = std::mem::take(&mut desk.told);
    let letter = told.iter().find(|report| report.what == Happened::DeadLetter).unwrap();
    assert_eq!(letter.dead_letter.as_ref().unwrap(), &letters[0]);
}

#[test]
fn an_item_that_a_copy_saw_refused_is_a_dead_letter_here_too() {
    // The server tells when it is asked, in the answer to the item itself, and to one that comes behind a gap.
    for when in 0..3 {
        let mut desk = Desk::begun(4);
        if when == 0 {
            desk.outcome(Outcome::Failed);
            let steps = desk.sender.end();
            desk.work(steps);
            desk.begin();
            desk.knows(200, 3, Some(2));
        } else {
            let (status, last) = [(200, 4), (409, 3)][when - 1];
            desk.knows(status, last, Some(2));
        }
        desk.wait(200.0);
        let letters = desk.store.dead_letters().unwrap();
        assert_eq!((letters.len(), letters[0].seq), (1, 2), "{when}");
        assert_eq!(letters[0].refused.code, "CONSTRAINT");
        let told = desk.told.iter().find(|report| report.what == Happened::DeadLetter).unwrap();
        assert_eq!(told.dead_letter.as_ref(), Some(&letters[0]));
        assert_eq!((desk.status().pending, desk.status().dead_letters), (3, 1), "{when}");
        // What is behind it is asked for, and its own skip is none to wonder at.
        let since = |desk: &Desk| {
            let (_, request) = desk.asked.as_ref().expect("a question");
            request.path.split_once("?since=").expect("since when").1.to_owned()
        };
        assert_eq!(since(&desk), "1");
        desk.knows(200, 3, Some(2));
        desk.wait(200.0);
        assert_eq!(since(&desk), "2");
        desk.knows(200, 3, None);
        desk.wait(200.0);
        assert_eq!((desk.path(), desk.numbers()), ("/frames/4?table=t", vec![4]));
        desk.takes();
        assert_eq!((desk.status().pending, desk.status().dead_letters), (0, 1));
        assert!(!desk.what_was_told().contains(&Happened::Forked));
    }
}

#[test]
fn a_dead_letter_that_a_copy_brought_over_is_none() {
    let mut desk = Desk::begun(2);
    desk.answer(422, "{}");
    desk.answer(422, "{}");
    desk.wait(200.0);
    assert_eq!((desk.path(), desk.status().dead_letters), ("/frames/1?table=t&skip=1", 1));
    // It has the rows in that place, with the digest that the skip has.
    desk.knows(200, 1, None);
    desk.wait(200.0);
    assert_eq!((desk.status().dead_letters, desk.store.dead_letters().unwrap().len()), (0, 0));
    assert!(desk.is_frame(1), "should the server lose it");
    assert_eq!((desk.path(), desk.numbers()), ("/frames/2?table=t", vec![2]));
}

#[test]
fn what_a_server_does_not_say_of_skips_changes_nothing() {
    let mut desk = Desk::begun(1);
    desk.answer(422, "{}");
    desk.wait(200.0);
    let (_, request) = desk.asked.as_ref().unwrap();
    let digest = Digest::parse(&request.item_digest);
    desk.stands(200, 1, digest);
    desk.wait(200.0);
    assert_eq!((desk.status().pending, desk.status().dead_letters), (0, 1));
    assert!(desk.asked.is_none());
}

#[test]
fn a_copy_that_gave_up_something_else_is_a_fork() {
    let mut desk = Desk::begun(3);
    let stream = desk.status().stream;
    let skip = format!(r#"{{"seq":2,"digest":"{}","code":"CONSTRAINT"}}"#, other().text());
    let digest = other().text();
    desk.answer(
        409,
        &format!(
            r#"{{"code":"SEQ_GAP","last_seq":2,"last_digest":"{digest}","skipped":[{skip}]}}"#
        ),
    );
    desk.wait(200.0);
    assert_ne!(desk.status().stream, stream);
    desk.stands(200, 0, None);
    assert_eq!(desk.numbers(), [1, 2, 3]);
    assert_eq!(desk.status().dead_letters, 0);
}

#[test]
fn a_skip_that_is_refused_waits_and_is_told_again() {
    let mut desk = Desk::begun(1);
    desk.answer(422, "{}");
    desk.wait(200.0);
    desk.answer(422, r#"{"code":"BROKEN"}"#);
    assert_eq!(desk.status().reason.as_deref(), Some("BROKEN"));
    desk.wait(1000.0);
    assert_eq!(desk.path(), "/frames/1?table=t&skip=1");
}

#[test]
fn what_is_too_large_is_sent_in_smaller_parts() {
    let mut desk = Desk::begun(40);
    let mut most = usize::MAX;
    for _ in 0..20 {
        let numbers = desk.numbers().len();
        assert!(numbers <= most);
        most = numbers;
        if numbers == 1 {
            break;
        }
        desk.answer(413, "{}");
    }
    assert_eq!(desk.path(), "/frames/1?table=t");
    desk.answer(413, "{}");
    desk.wait(200.0);
    assert_eq!(desk.store.dead_letters().unwrap()[0].refused.code, "TOO_LARGE");
    assert_eq!(desk.path(), "/frames/1?table=t&skip=1");
}

#[test]
fn a_damaged_body_is_sent_once_more_and_then_it_is_the_item() {
    let mut desk = Desk::begun(1);
    desk.answer(400, r#"{"code":"DIGEST_MISMATCH"}"#);
    assert_eq!(desk.path(), "/frames/1?table=t");
    desk.answer(400, r#"{"code":"DIGEST_MISMATCH"}"#);
    desk.wait(200.0);
    assert_eq!(desk.path(), "/frames/1?table=t&skip=1");
}

#[test]
fn a_damaged_body_of_several_is_no_reason_to_send_one_item_once_only() {
    let mut desk = Desk::begun(2);
    let damaged = r#"{"code":"DIGEST_MISMATCH"}"#;
    for path in ["/frames/1-2?table=t", "/frames/1-2?table=t", "/frames/1?table=t"] {
        assert_eq!(desk.path(), path);
        desk.answer(400, damaged);
    }
    assert_eq!(desk.path(), "/frames/1?table=t", "once more, by itself");
}

#[test]
fn compression_that_the_server_does_not_know_is_left_out() {
    let mut desk = Desk::begun(1);
    assert!(desk.asked.as_ref().unwrap().1.gzip);
    desk.answer(415, "");
    assert!(!desk.asked.as_ref().unwrap().1.gzip);
}

#[test]
fn dead_letters_are_named_by_what_exists() {
    let mut desk = Desk::begun(1);
    assert_eq!(desk.store.retry_dead_letter(1).unwrap_err().code, Code::InvalidArgument);
}
