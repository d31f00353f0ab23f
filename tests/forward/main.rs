//! The sender: in order, once, for ever; what it makes of every answer.

mod desk;

use desk::Desk;
use framelock::error::Code;
use framelock::forward::{
    Answer, Digest, Happened, Method, Outcome, PauseReason, Record, Settings,
};

fn other() -> Digest {
    Digest::of(b"something else")
}

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
fn no_answer_is_tried_again_for_ever_with_growing_waits() {
    let mut desk = Desk::begun(1);
    let mut waits = Vec::new();
    for _ in 0..40 {
        desk.outcome(Outcome::Failed);
        let since_ms = desk.now_ms;
        while desk.asked.is_none() {
            desk.wait(10.0);
            assert!(desk.now_ms - since_ms < 60_100.0, "a minute at most");
        }
        waits.push(desk.now_ms - since_ms);
        assert_eq!(desk.path(), "/frames/1?table=t", "the same again");
    }
    assert!(waits[0] <= 510.0 && waits[1] <= 1010.0, "{waits:?}");
    assert!(waits.iter().any(|ms| *ms > 30_000.0) && waits.iter().any(|ms| *ms < 30_000.0));
    assert_eq!(desk.status().reason.as_deref(), Some("NETWORK"));
    assert_eq!(desk.what_was_told(), [Happened::Waiting], "told once");
    desk.takes();
    assert_eq!(desk.status().reason, None);
}

#[test]
fn the_network_back_ends_a_wait_but_not_one_that_the_server_imposed() {
    let mut desk = Desk::begun(1);
    for _ in 0..12 {
        desk.outcome(Outcome::Failed);
        let steps = desk.sender.woken(desk.now_ms);
        desk.work(steps);
        assert!(desk.asked.is_some(), "at once");
    }
    let body = String::new();
    let retry_after_ms = Some(20_000.0);
    desk.outcome(Outcome::Answered(Answer { status: 503, retry_after_ms, body }));
    let steps = desk.sender.woken(desk.now_ms);
    desk.work(steps);
    desk.wait(19_900.0);
    assert!(desk.asked.is_none(), "not before its time");
    assert_eq!(desk.status().reason.as_deref(), Some("HTTP_503"));
    desk.wait(61_000.0);
    assert!(desk.asked.is_some());
}

#[test]
fn frames_that_come_shorten_a_wait_of_its_own() {
    let mut desk = Desk::begun(1);
    for seed in 0..20 {
        for _ in 0..10 {
            desk.outcome(Outcome::Failed);
            desk.wait(61_000.0);
        }
        desk.outcome(Outcome::Failed);
        desk.append("t", &[seed]);
        desk.frames();
        desk.wait(1_000.0);
        assert!(desk.asked.is_some(), "a second is the most");
    }
}

#[test]
fn a_line_on_which_all_fails_is_sent_less_at_a_time() {
    let mut desk = Desk::begun(1);
    desk.takes();
    const ROWS: i64 = 10_000;
    for nth in 0..24 {
        desk.append("t", &(nth..nth + ROWS).collect::<Vec<_>>());
    }
    desk.frames();
    let mut counts = Vec::new();
    for _ in 0..8 {
        counts.push(desk.numbers().len() as i64 / ROWS);
        let answer = Answer { status: 503, retry_after_ms: None, body: String::new() };
        desk.outcome(Outcome::Answered(answer));
        desk.wait(61_000.0);
    }
    assert_eq!(counts[..2], [24, 24], "once is nothing");
    assert_eq!(counts[7], 1, "{counts:?}");
}

#[test]
fn frames_that_come_do_not_shorten_what_the_server_imposed() {
    let mut desk = Desk::begun(1);
    for _ in 0..10 {
        desk.outcome(Outcome::Failed);
        desk.wait(61_000.0);
    }
    let retry_after_ms = Some(60_000.0);
    desk.outcome(Outcome::Answered(Answer { status: 429, retry_after_ms, body: String::new() }));
    desk.append("t", &[2]);
    desk.frames();
    assert!(desk.asked.is_none());
    assert_eq!(desk.status().pending, 2);
    desk.wait(61_000.0);
    assert_eq!(desk.numbers(), [1, 2], "it is not forgotten that they were counted");
}

#[test]
fn frames_that_come_while_it_compares_are_sent_too() {
    let mut desk = Desk::begun(1);
    desk.takes();
    let steps = desk.sender.end();
    desk.work(steps);
    desk.begin();
    desk.append("t", &[2]);
    desk.stands(200, 1, Some(desk.digest(1)));
    desk.wait(200.0);
    assert_eq!(desk.numbers(), [2]);
}

#[test]
fn an_exchange_that_hangs_is_given_up_and_less_is_sent_at_a_time() {
    let mut desk = Desk::begun(1);
    desk.wait(120_001.0);
    assert_eq!(desk.cancelled.len(), 1);
    assert_eq!(desk.status().reason.as_deref(), Some("TIMEOUT"));
    desk.wait(60_000.0);
    assert!(desk.asked.is_some());
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
fn a_server_that_answers_questions_and_has_nonsense_for_frames_is_sent_them_seldom() {
    let mut desk = Desk::begun(1);
    let mut sent = 0;
    while desk.now_ms < 3_600_000.0 {
        match desk.asked.as_ref().map(|(_, request)| request.method) {
            Some(Method::Put) => {
                sent += 1;
                desk.answer(200, "<html>");
            }
            Some(Method::Get) => desk.stands(200, 0, None),
            None => desk.wait(100.0),
        }
    }
    assert!((60..300).contains(&sent), "{sent} times in an hour");
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
fn while_the_caller_is_busy_it_rests_and_what_came_goes_together() {
    let mut desk = Desk::begun(1);
    desk.wait(50.0);
    desk.takes();
    for number in 2..=40 {
        desk.busy(100.0);
        desk.append("t", &[number]);
        let steps = desk.sender.frames_came(desk.now_ms);
        desk.work(steps);
        desk.wait(10.0);
        assert!(desk.asked.is_none(), "{number}: ten times as long as the exchange of 50 ms");
    }
    desk.busy(10_000.0);
    desk.wait(105.0);
    assert!(desk.asked.is_none(), "{}", desk.now_ms);
    desk.wait(10.0);
    assert_eq!(desk.path(), "/frames/2-40?table=t");
    desk.takes();
    // It is written down late, but however long that goes on.
    desk.wait(4000.0);
    assert_eq!(desk.store.outbox_state().unwrap().acknowledged, 0);
    desk.wait(2000.0);
    assert_eq!(desk.store.outbox_state().unwrap().acknowledged, 40);
}

#[test]
fn what_came_counts_before_the_sender_looks() {
    let mut desk = Desk::new(Settings::default());
    desk.begin();
    for number in 1..=3 {
        desk.append("t", &[number]);
        let state = desk.store.outbox_state().unwrap();
        desk.sender.saw(&state);
        assert_eq!(desk.status().pending, number as u64);
    }
    desk.wait(200.0);
    desk.stands(200, 0, None);
    assert_eq!(desk.numbers(), [1, 2, 3]);
}

#[test]
fn a_caller_that_begins_is_left_alone_at_first() {
    let mut desk = Desk::begun(1);
    desk.wait(40.0);
    desk.takes();
    desk.wait(10_000.0);
    for number in 2..=8 {
        desk.busy(100.0);
        desk.append("t", &[number]);
        let steps = desk.sender.frames_came(desk.now_ms);
        desk.work(steps);
        assert!(desk.asked.is_none(), "{number}");
        desk.wait(50.0);
    }
    desk.busy(100.0);
    desk.wait(60.0);
    assert_eq!(desk.numbers(), [2, 3, 4, 5, 6, 7, 8], "400 ms after it began");
}

#[test]
fn a_caller_that_falls_silent_is_not_waited_for() {
    let mut desk = Desk::begun(1);
    desk.wait(1000.0);
    desk.takes();
    desk.busy(100.0);
    desk.append("t", &[2]);
    desk.frames();
    assert_eq!(desk.path(), "/frames/2?table=t", "100 ms later, and not after the rest of 5 s");
    // Nor with a question, when there is nothing to send.
    desk.wait(50.0);
    desk.takes();
    desk.busy(300.0);
    let steps = desk.sender.resume(desk.now_ms);
    desk.work(steps);
    desk.wait(290.0);
    assert!(desk.asked.is_none());
    desk.wait(20.0);
    assert_eq!(desk.path(), "");
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
fn a_token_is_asked_for_first_refreshed_once_and_then_it_stops() {
    let mut desk = Desk::new(Settings { has_token: true, ..Settings::default() });
    desk.append("t", &[1]);
    desk.begin();
    assert!(desk.asked.is_none());
    assert!(!desk.token_asked.unwrap().1);
    desk.token(true);
    desk.stands(200, 0, None);
    desk.answer(401, r#"{"code":"UNAUTHENTICATED"}"#);
    assert!(desk.token_asked.unwrap().1, "a fresh one");
    desk.token(true);
    assert_eq!(desk.path(), "/frames/1?table=t");
    desk.answer(403, r#"{"code":"FORBIDDEN"}"#);
    desk.wait(600_000.0);
    assert!(desk.asked.is_none() && desk.token_asked.is_none());
    assert_eq!((desk.status().paused, desk.status().pending), (true, 1));
    assert_eq!(desk.status().reason.as_deref(), Some("FORBIDDEN"));
    let steps = desk.sender.resume(desk.now_ms);
    desk.work(steps);
    desk.wait(200.0);
    desk.token(true);
    desk.stands(200, 0, None);
    desk.takes();
    assert_eq!(desk.status().pending, 0);
    use Happened::{Acknowledged, Paused, Resumed};
    assert_eq!(desk.what_was_told(), [Paused, Resumed, Acknowledged]);
}

#[test]
fn a_token_that_does_not_come_is_asked_for_again() {
    let mut desk = Desk::new(Settings { has_token: true, ..Settings::default() });
    desk.append("t", &[1]);
    desk.begin();
    desk.token(false);
    assert_eq!(desk.status().reason.as_deref(), Some("TOKEN"));
    desk.wait(501.0);
    // And one that never comes at all.
    assert!(desk.token_asked.take().is_some());
    desk.wait(62_001.0);
    assert!(desk.token_asked.is_some());
}

#[test]
fn without_anybody_to_ask_a_refused_request_stops_it() {
    let mut desk = Desk::begun(1);
    desk.answer(401, "");
    assert_eq!(desk.status().reason.as_deref(), Some("UNAUTHENTICATED"));
    assert!(desk.status().paused && desk.token_asked.is_none());
}

#[test]
fn a_pause_by_anybody_holds_and_a_resume_ends_it() {
    let mut desk = Desk::begun(1);
    desk.takes();
    desk.store.pause_outbox().unwrap();
    let steps = desk.sender.outbox_changed(desk.now_ms);
    desk.work(steps);
    desk.wait(200.0);
    desk.append("t", &[2]);
    desk.frames();
    assert!(desk.asked.is_none());
    let status = desk.status();
    assert_eq!((status.pending, status.reason.as_deref()), (1, Some("PAUSED")));
    desk.store.resume_outbox().unwrap();
    let steps = desk.sender.resume(desk.now_ms);
    desk.work(steps);
    desk.wait(200.0);
    desk.stands(200, 1, Some(desk.digest(1)));
    desk.takes();
    assert_eq!(desk.status().pending, 0);
    use Happened::{Acknowledged, Paused, Resumed};
    assert_eq!(desk.what_was_told(), [Acknowledged, Paused, Resumed, Acknowledged]);
}

#[test]
fn answers_that_make_no_sense_are_waited_out() {
    let nonsense = [
        (200, "<html>"),
        (201, r#"{"last_seq":0,"last_digest":null}"#),
        (404, ""),
        (302, ""),
        (409, r#"{"code":"SEQ_GAP","last_seq":0,"last_digest":null}"#),
    ];
    for (status, body) in nonsense {
        let mut desk = Desk::begun(1);
        desk.answer(status, body);
        assert!(desk.asked.is_none(), "{status} {body}");
        assert!(desk.status().reason.is_some(), "{status} {body}");
        assert_eq!(desk.status().pending, 1);
        desk.wait(600.0);
        assert!(desk.asked.is_some(), "{status} {body}");
    }
}

#[test]
fn compression_that_the_server_does_not_know_is_left_out() {
    let mut desk = Desk::begun(1);
    assert!(desk.asked.as_ref().unwrap().1.gzip);
    desk.answer(415, "");
    assert!(!desk.asked.as_ref().unwrap().1.gzip);
}

#[test]
fn a_storage_that_fails_is_looked_at_again_and_nothing_is_lost() {
    let mut desk = Desk::begun(2);
    desk.storage_fails = true;
    desk.answer(409, r#"{"code":"STREAM_FORKED"}"#);
    desk.wait(1000.0);
    assert!(desk.asked.is_none());
    desk.storage_fails = false;
    desk.wait(2000.0);
    assert_eq!(desk.path(), "", "it asks where the server stands");
    desk.stands(200, 0, None);
    assert_eq!(desk.numbers(), [1, 2]);
}

#[test]
fn dead_letters_are_named_by_what_exists() {
    let mut desk = Desk::begun(1);
    assert_eq!(desk.store.retry_dead_letter(1).unwrap_err().code, Code::InvalidArgument);
}

#[test]
fn an_exchange_that_hangs_is_given_up_though_something_is_to_be_written_down() {
    let mut desk = Desk::begun(1);
    desk.takes();
    desk.append("t", &[2]);
    desk.frames();
    // What the server has is not written down before the outbox was looked at again, and that waits for the exchange.
    let steps = desk.sender.outbox_changed(desk.now_ms);
    desk.work(steps);
    desk.wait(120_000.0);
    assert_eq!(desk.cancelled.len(), 1);
    assert_eq!(desk.status().reason.as_deref(), Some("TIMEOUT"));
}

#[test]
fn a_long_rest_is_over_when_the_caller_is() {
    let mut desk = Desk::begun(1);
    desk.takes();
    // As much as is read ahead, and more.
    for number in 0..12 {
        desk.append("t", &[number; 131_072]);
    }
    desk.frames();
    desk.wait(58_000.0);
    desk.busy(10_000.0);
    desk.takes();
    assert!(
        desk.asked.is_none(),
        "it rests, and meanwhile a look at the outbox is due for which there is no room"
    );
    desk.wait(10_000.0);
    assert!(desk.asked.is_some());
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
