//! Two things at once: what the browser does for one of them it does while the other waits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Runs both to their ends, whatever comes of either.
pub async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let mut done = (None, None);
    poll_fn(|context| {
        if done.0.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(context)
        {
            done.0 = Some(output);
        }
        if done.1.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(context)
        {
            done.1 = Some(output);
        }
        match std::mem::take(&mut done) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            some => {
                done = some;
                Poll::Pending
            }
        }
    })
    .await
}
