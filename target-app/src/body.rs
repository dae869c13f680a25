//! How far a request's body was read: whoever answers has to know whether the client is still sending.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use hyper::body::{Frame, SizeHint};

/// Nobody has asked for the body, or not for all of what has arrived.
const LEFT: u8 = 0;
/// Somebody waits for more of it.
const AWAITED: u8 = 1;
/// It was read to its end.
const READ: u8 = 2;

/// What has become of a body.
#[derive(Debug, Clone)]
pub struct Progress(Arc<AtomicU8>);

impl Progress {
    /// Whether somebody waits for the client to send more.
    pub fn is_awaited(&self) -> bool {
        self.0.load(Ordering::Relaxed) == AWAITED
    }

    /// Whether it was read to its end.
    pub fn is_read(&self) -> bool {
        self.0.load(Ordering::Relaxed) == READ
    }
}

/// Watches the request's body from here on.
pub fn watch(request: Request) -> (Request, Progress) {
    // Most requests have none.
    if request.body().is_end_stream() {
        return (request, Progress(Arc::new(AtomicU8::new(READ))));
    }
    let progress = Progress(Arc::new(AtomicU8::new(LEFT)));
    let watched = progress.clone();
    (request.map(|body| Body::new(Watched { body, progress: watched })), progress)
}

struct Watched {
    body: Body,
    progress: Progress,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Watched { body, progress } = self.get_mut();
        progress.0.store(AWAITED, Ordering::Relaxed);
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        let read = frame.is_none() || body.is_end_stream();
        progress.0.store(if read { READ } else { LEFT }, Ordering::Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
