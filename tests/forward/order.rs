//! Once and in order, whatever the server lost, copied files have sent, and answers got lost.

use crate::desk::{Desk, other};
use framelock::forward::{Digest, Happened, Method, Outcome, PauseReason, Record, Settings};

#[test]
fn it_asks_where_the_server_stands_and_sends_what_comes_next_together() {
    let mut desk = Desk::new(Settings::default());
    for number in 1..=3 {
        desk.append("t", &[number, -number]);
    }
    desk.begin();
    assert_eq!(desk.path(), "");
    desk.stands(200, 0, None);
    assert_eq!((desk.path(), desk.numbers()), ("/frames/1-3?table=t", vec![1, -1, 2, -2, 3, -3]));
    let (_, request) = desk.asked.as_ref().unwrap();
    assert_eq!(request.item_digest, desk.digest(3).text());
    desk.takes();
    assert!(desk.asked.is_none());
    let status = desk.status();
    assert_eq!((status.pending, status.last_acknowledged, status.reason), (0, Some(3), None));
    desk.append("t", &[9]);
    desk.frames();
    assert_eq!((desk.path(), desk.numbers()), ("/frames/4?table=t", vec![9]));
    desk.takes();
    desk.wait(1500.0);
    assert_eq!(desk.store.outbox_state().unwrap().acknowledged, 4, "recorded after a while");
    assert_eq!(desk.what_was_told(), [Happened::Acknowledged; 2]);
}

#[test]
fn nothing_is_asked_before_anything_was_forwarded() {
    let mut desk = Desk::new(Settings::default());
    desk.begin();
    desk.wait(300_000.0);
    assert!(desk.asked.is_none());
    desk.append("t", &[1]);
    desk.frames();
    assert_eq!(desk.path(), "");
}

#[test]
fn tables_are_not_mixed_and_their_order_is_kept() {
    let mut desk = Desk::new(Settings::default());
    for (table, number) in [("a", 1), ("a", 2), ("b", 3), ("a", 4), ("a", 5)] {
        desk.append(table, &[number]);
    }
    desk.begin();
    desk.stands(200, 0, None);
    let mut paths = Vec::new();
    while desk.asked.is_some() {
        paths.push(desk.path().to_owned());
        desk.takes();
    }
    assert_eq!(paths, ["/frames/1-2?table=a", "/frames/3?table=b", "/frames/4-5?table=a"]);
}

#[test]
fn what_is_known_of_a_file_does_not_hold_for_an_older_copy_that_takes_its_place() {
    for answered in [true, false] {
        let mut desk = Desk::begun(1);
        desk.takes();
        desk.wait(1500.0);
        let copy = desk.store.export_file().unwrap();
        desk.append("t", &[2]);
        desk.frames();
        let there = desk.digest(2);
        if answered {
            // And not written down yet.
            desk.takes();
        }
        desk.import(copy);
        assert_eq!(desk.cancelled.len(), usize::from(!answered));
        desk.append("t", &[20]);
        desk.frames();
        assert_eq!(desk.path(), "", "it asks where the server stands");
        desk.stands(200, 2, Some(there));
        desk.wait(200.0);
        desk.stands(200, 0, None);
        assert_eq!((desk.path(), desk.numbers()), ("/frames/1?table=t", vec![20]));
        assert!(desk.what_was_told().contains(&Happened::Forked));
    }
}

#[test]
fn a_server_that_says_no_more_than_that_it_has_them_is_asked_what_it_has() {
    let mut desk = Desk::begun(3);
    desk.answer(201, "");
    desk.wait(600.0);
    desk.stands(200, 3, Some(desk.digest(3)));
    let status = desk.status();
    assert_eq!((status.pending, status.reason), (0, None));
    desk.append("t", &[4]);
    desk.frames();
    desk.answer(409, r#"{"code":"SEQ_GAP","last_seq":1}"#);
    desk.wait(600.0);
    desk.stands(200, 1, Some(desk.digest(1)));
    desk.wait(200.0);
    assert_eq!(desk.numbers(), [2, 3, 4]);
}

#[test]
fn a_server_that_records_the_digest_of_a_body_is_sent_items_one_by_one() {
    let mut desk = Desk::begun(3);
    let (_, request) = desk.asked.as_ref().unwrap();
    assert!(request.path.contains("/frames/1-3?"));
    let body = Digest::parse(&request.content_digest).unwrap();
    assert_ne!(body, desk.digest(3));
    desk.stands(201, 3, Some(body));
    assert_eq!(desk.status().pending, 0);
    desk.append("t", &[4]);
    desk.append("t", &[5]);
    desk.frames();
    assert_eq!(desk.numbers(), [4]);
    // It is asked where it stands, and has just what it said.
    desk.answer(200, "");
    desk.wait(600.0);
    assert_eq!(desk.asked.as_ref().unwrap().1.method, Method::Get);
    desk.stands(200, 3, Some(body));
    desk.wait(100.0);
    assert_eq!(desk.numbers(), [4]);
    desk.stands(201, 4, Some(desk.digest(4)));
    assert_eq!(desk.numbers(), [5]);
    desk.stands(201, 5, Some(desk.digest(5)));
    assert!(desk.told.iter().all(|report| report.what != Happened::Forked));
    assert_eq!((desk.status().pending, desk.status().paused), (0, false));
}

#[test]
fn so_is_one_whose_answer_was_lost() {
    let mut desk = Desk::begun(3);
    let body = Digest::parse(&desk.asked.as_ref().unwrap().1.content_digest);
    desk.answer(200, "");
    desk.wait(600.0);
    desk.stands(200, 3, body);
    assert_eq!((desk.status().pending, desk.asked.is_none()), (0, true));
    desk.append("t", &[4]);
    desk.append("t", &[5]);
    desk.frames();
    assert_eq!(desk.numbers(), [4]);
}

#[test]
fn an_answer_that_was_lost_is_no_second_frame() {
    let mut desk = Desk::begun(2);
    desk.outcome(Outcome::Failed);
    desk.wait(1000.0);
    desk.stands(200, 2, Some(desk.digest(2)));
    assert_eq!((desk.status().pending, desk.asked.is_none()), (0, true));
}

#[test]
fn who_takes_over_finds_out_what_was_not_recorded() {
    let mut desk = Desk::begun(3);
    desk.takes();
    // Its record is lost with it.
    let steps = desk.sender.end();
    desk.work(steps);
    desk.append("t", &[4]);
    desk.begin();
    desk.stands(200, 3, Some(desk.digest(3)));
    assert_eq!(desk.path(), "/frames/4?table=t");
}

#[test]
fn a_rewound_server_is_sent_again_what_it_lost() {
    let mut desk = Desk::begun(5);
    desk.takes();
    desk.append("t", &[6]);
    desk.frames();
    desk.stands(409, 2, Some(desk.digest(2)));
    desk.wait(200.0);
    assert_eq!((desk.path(), desk.numbers()), ("/frames/3-6?table=t", vec![3, 4, 5, 6]));
    desk.takes();
    assert_eq!(desk.status().pending, 0);
    use Happened::{Acknowledged, Rewound};
    assert_eq!(desk.what_was_told(), [Acknowledged, Rewound, Acknowledged]);
}

#[test]
fn a_server_that_lost_everything_is_sent_everything() {
    let mut desk = Desk::begun(3);
    desk.takes();
    desk.append("t", &[4]);
    desk.frames();
    desk.stands(409, 0, None);
    desk.wait(200.0);
    assert_eq!(desk.path(), "/frames/1-4?table=t");
}

#[test]
fn a_server_that_lost_what_is_kept_no_more_stops_it_loudly() {
    let settings = Settings { keep_ms: 1000.0, ..Settings::default() };
    let mut desk = Desk::new(settings);
    for number in 1..=3 {
        desk.append("t", &[number]);
    }
    desk.begin();
    desk.stands(200, 0, None);
    desk.takes();
    desk.wait(130_000.0);
    assert_eq!(desk.store.outbox_state().unwrap().first, 3, "the last one stays");
    desk.append("t", &[4]);
    desk.frames();
    let first = other();
    desk.stands(409, 1, Some(first));
    desk.wait(200.0);
    assert!(desk.asked.is_none());
    let status = desk.status();
    assert_eq!((status.paused, status.reason.as_deref()), (true, Some("REMOTE_REWOUND")));
    assert_eq!(*desk.what_was_told().last().unwrap(), Happened::Paused);
    let remote = PauseReason::RemoteRewound { remote: 0 };
    assert_eq!(desk.store.outbox_state().unwrap().paused, Some(remote), "for every tab");
    desk.store.restart_outbox().unwrap();
    let steps = desk.sender.resume(desk.now_ms);
    desk.work(steps);
    desk.wait(200.0);
    desk.stands(200, 0, None);
    assert_eq!((desk.path(), desk.numbers()), ("/frames/1-2?table=t", vec![3, 4]));
}

#[test]
fn what_the_server_has_in_the_place_of_an_acknowledged_item_must_be_that_item() {
    let mut desk = Desk::begun(4);
    desk.takes();
    desk.append("t", &[5]);
    desk.frames();
    desk.stands(409, 2, Some(other()));
    desk.wait(200.0);
    assert_eq!(desk.status().reason.as_deref(), Some("REMOTE_REWOUND"));
}

#[test]
fn every_request_says_what_comes_before_it() {
    let mut desk = Desk::begun(2);
    assert_eq!(desk.after(), None, "nothing does");
    desk.takes();
    for number in 3..=5 {
        desk.append("t", &[number]);
        desk.frames();
        assert_eq!(desk.after(), Some(desk.digest(number - 1)));
        desk.takes();
    }
    // Of a server that lost some: what it still has.
    desk.append("t", &[6]);
    desk.frames();
    desk.stands(409, 3, Some(desk.digest(3)));
    desk.wait(200.0);
    assert_eq!((desk.path(), desk.after()), ("/frames/4-6?table=t", Some(desk.digest(3))));
    desk.outcome(Outcome::Failed);
    desk.wait(1000.0);
    // Whoever takes over finds out.
    let steps = desk.sender.end();
    desk.work(steps);
    desk.begin();
    desk.stands(200, 4, Some(desk.digest(4)));
    desk.wait(200.0);
    assert_eq!((desk.path(), desk.after()), ("/frames/5-6?table=t", Some(desk.digest(4))));
    // A new stream begins with nothing before it.
    desk.answer(409, r#"{"code":"STREAM_FORKED"}"#);
    desk.wait(200.0);
    desk.stands(200, 0, None);
    assert_eq!((desk.path(), desk.after()), ("/frames/1-2?table=t", None));
}

#[test]
fn what_is_not_taken_since_something_else_comes_before_it_stops_it_loudly() {
    let mut desk = Desk::begun(4);
    desk.takes();
    desk.append("t", &[5]);
    desk.frames();
    assert_eq!(desk.path(), "/frames/5?table=t");
    // It lost item 4, and has one of a copy of this database in its place.
    desk.stands(409, 4, Some(other()));
    desk.wait(200.0);
    assert!(desk.asked.is_none());
    assert_eq!(desk.status().reason.as_deref(), Some("REMOTE_REWOUND"));
    desk.store.restart_outbox().unwrap();
    let steps = desk.sender.resume(desk.now_ms);
    desk.work(steps);
    desk.wait(200.0);
    desk.stands(200, 0, None);
    assert_eq!(desk.numbers(), [1, 2, 3, 4, 5], "all that is kept");
}

#[test]
fn a_forked_stream_is_left_and_what_is_not_acknowledged_goes_under_a_new_one() {
    let mut desk = Desk::begun(2);
    desk.takes();
    let stream = desk.status().stream;
    desk.append("t", &[3]);
    desk.append("t", &[4]);
    desk.frames();
    assert_eq!(desk.path(), "/frames/3-4?table=t");
    desk.answer(409, r#"{"code":"STREAM_FORKED"}"#);
    desk.wait(200.0);
    assert_ne!(desk.status().stream, stream);
    desk.stands(200, 0, None);
    assert_eq!((desk.path(), desk.numbers()), ("/frames/1-2?table=t", vec![3, 4]));
    assert!(desk.what_was_told().contains(&Happened::Forked));
}

#[test]
fn a_server_that_is_ahead_with_something_else_is_a_fork() {
    for (last_seq, status) in [(3, 200), (9, 200), (3, 201)] {
        let mut desk = Desk::begun(2);
        desk.takes();
        let stream = desk.status().stream;
        desk.append("t", &[3]);
        desk.frames();
        // "Duplicate", or "applied": but not what was sent.
        desk.stands(status, last_seq, Some(other()));
        desk.stands(200, last_seq, Some(other()));
        desk.wait(200.0);
        assert_ne!(desk.status().stream, stream, "{last_seq} {status}");
        desk.stands(200, 0, None);
        assert_eq!(desk.numbers(), [3]);
    }
}

#[test]
fn an_outbox_that_lacks_what_comes_next_is_told_once() {
    let mut desk = Desk::new(Settings::default());
    for number in 1..=3 {
        desk.append("t", &[number]);
    }
    let stream = desk.store.outbox_state().unwrap().stream.unwrap();
    let acknowledged =
        |number| Record::Acknowledged { stream: stream.clone(), number, keep_from: number + 1 };
    desk.store.record_in_outbox(&[acknowledged(2), acknowledged(0)]).unwrap();
    desk.begin();
    desk.wait(10_000.0);
    assert_eq!(desk.what_was_told(), [Happened::Paused]);
    assert_eq!(desk.status().reason.as_deref(), Some("REMOTE_REWOUND"));
}
