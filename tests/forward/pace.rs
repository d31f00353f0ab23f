//! When the sender asks, waits, rests and stops.

use crate::desk::Desk;
use framelock::forward::{Answer, Happened, Method, Outcome, Settings};

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
