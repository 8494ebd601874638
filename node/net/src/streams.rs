//! Direct streams between two peers. The only module that knows `libp2p-stream`, which is alpha.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::StreamExt;
use libp2p::swarm::Stream;
use libp2p::{PeerId, StreamProtocol};
use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};
use tokio_util::sync::CancellationToken;

use crate::NetError;
use crate::frame::{Status, within, write_frame};
use crate::metrics::Metrics;

/// A stream to a peer, as tokio reads and writes it.
pub(crate) type PeerStream = Compat<Stream>;

/// How often a request is sent again when the peer closes the stream unanswered, which is how a
/// busy peer refuses. The pauses double from `RETRY_PAUSE`: 1.5 s in all.
const ATTEMPTS: u32 = 5;
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Streams of one protocol that this node opens to one peer at once; further requests wait. Half
/// of what a peer serves by default, so that requests queue here instead of being refused there.
const OUTGOING_MAX: usize = 4;

/// Opens and accepts streams.
#[derive(Clone)]
pub(crate) struct Streams {
    control: libp2p_stream::Control,
    idle_timeout: Duration,
    turns: Arc<Mutex<Turns>>,
}

type Turns = HashMap<(PeerId, StreamProtocol), Weak<Semaphore>>;

/// An answered request. The stream is the protocol's; the next request may go when this is dropped.
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) stream: PeerStream,
    _turn: OwnedSemaphorePermit,
}

impl Streams {
    pub(crate) fn new(control: libp2p_stream::Control, idle_timeout: Duration) -> Self {
        Self {
            control,
            idle_timeout,
            turns: Arc::default(),
        }
    }

    /// Sends the first frame of a request and reads the status of the answer.
    pub(crate) async fn ask(
        &self,
        peer: PeerId,
        protocol: &StreamProtocol,
        request: &[u8],
    ) -> Result<Answer, NetError> {
        let turn = self.turn(peer, protocol).await?;
        let mut pause = RETRY_PAUSE;
        for attempt in 1.. {
            match self.ask_once(peer, protocol, request).await {
                Err(NetError::Busy) if attempt < ATTEMPTS => {
                    // Drawn before the wait: the generator belongs to one thread.
                    let wait = pause.mul_f64(rand::rng().random_range(0.5..1.5));
                    tokio::time::sleep(wait).await;
                    pause *= 2;
                }
                outcome => {
                    return outcome.map(|(status, stream)| Answer {
                        status,
                        stream,
                        _turn: turn,
                    });
                }
            }
        }
        Err(NetError::Busy)
    }

    async fn turn(
        &self,
        peer: PeerId,
        protocol: &StreamProtocol,
    ) -> Result<OwnedSemaphorePermit, NetError> {
        let semaphore = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, semaphore| semaphore.strong_count() > 0);
            let key = (peer, protocol.clone());
            match turns.get(&key).and_then(Weak::upgrade) {
                Some(semaphore) => semaphore,
                None => {
                    let semaphore = Arc::new(Semaphore::new(OUTGOING_MAX));
                    turns.insert(key, Arc::downgrade(&semaphore));
                    semaphore
                }
            }
        };
        semaphore
            .acquire_owned()
            .await
            .map_err(|_| NetError::Stopped)
    }

    async fn ask_once(
        &self,
        peer: PeerId,
        protocol: &StreamProtocol,
        request: &[u8],
    ) -> Result<(Status, PeerStream), NetError> {
        let opened = within(self.idle_timeout, async {
            self.control
                .clone()
                .open_stream(peer, protocol.clone())
                .await
                .map_err(|error| match error {
                    libp2p_stream::OpenStreamError::UnsupportedProtocol(_) => {
                        NetError::Protocol("it does not serve this protocol")
                    }
                    libp2p_stream::OpenStreamError::Io(error) => NetError::Stream(error),
                    other => NetError::Stream(io::Error::other(other.to_string())),
                })
        });
        let mut stream = opened.await?.compat();
        let asked = within(self.idle_timeout, async {
            write_frame(&mut stream, request).await?;
            stream.flush().await?;
            Ok::<_, NetError>(stream.read_u8().await?)
        });
        let status = asked.await.map_err(|error| match error {
            NetError::Stream(error) if is_refusal(&error) => NetError::Busy,
            error => error,
        })?;
        let status =
            Status::from_byte(status).ok_or(NetError::Protocol("it answered an unknown status"))?;
        Ok((status, stream))
    }

    /// Serves a protocol until `stopped`: each stream in a task of its own, if `gate` admits it.
    /// A stream that is not admitted is closed, which tells the peer to come back later.
    pub(crate) fn serve<F>(
        &self,
        protocol: StreamProtocol,
        gate: Gate,
        metrics: Arc<Metrics>,
        stopped: CancellationToken,
        answer: impl Fn(PeerId, PeerStream) -> F + Send + 'static,
    ) -> Result<(), NetError>
    where
        F: Future<Output = Result<(), NetError>> + Send + 'static,
    {
        let mut incoming = self
            .control
            .clone()
            .accept(protocol.clone())
            .map_err(|error| NetError::Config(error.to_string()))?;
        tokio::spawn(async move {
            loop {
                let (peer, stream) = tokio::select! {
                    () = stopped.cancelled() => return,
                    next = incoming.next() => match next {
                        Some(next) => next,
                        None => return,
                    },
                };
                let Some(permit) = gate.enter(peer) else {
                    metrics.stream_refused(&protocol);
                    continue;
                };
                metrics.stream_served(&protocol);
                let answered = answer(peer, stream.compat());
                let stopped = stopped.clone();
                let protocol = protocol.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    tokio::select! {
                        () = stopped.cancelled() => {}
                        outcome = answered => if let Err(error) = outcome {
                            tracing::debug!(%peer, %protocol, %error, "stream failed");
                        },
                    }
                });
            }
        });
        Ok(())
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::WriteZero
    )
}

/// How many streams may be served at once, in total and per peer.
#[derive(Clone)]
pub(crate) struct Gate {
    total: Arc<Semaphore>,
    per_peer_max: usize,
    peers: Arc<Mutex<HashMap<PeerId, usize>>>,
}

impl Gate {
    pub(crate) fn new(total_max: usize, per_peer_max: usize) -> Self {
        Self {
            total: Arc::new(Semaphore::new(total_max.min(Semaphore::MAX_PERMITS))),
            per_peer_max,
            peers: Arc::default(),
        }
    }

    /// Admits one stream of `peer`, until the permit is dropped.
    pub(crate) fn enter(&self, peer: PeerId) -> Option<Permit> {
        let total = self.total.clone().try_acquire_owned().ok()?;
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let held = peers.entry(peer).or_default();
        if *held >= self.per_peer_max {
            return None;
        }
        *held += 1;
        Some(Permit {
            gate: self.clone(),
            peer,
            _total: total,
        })
    }
}

/// One stream being served.
pub(crate) struct Permit {
    gate: Gate,
    peer: PeerId,
    _total: OwnedSemaphorePermit,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut peers = self
            .gate
            .peers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = peers.get_mut(&self.peer) {
            *held -= 1;
            if *held == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_admits_up_to_its_limits_and_again_after_a_stream_ended() {
        let gate = Gate::new(3, 2);
        let (greedy, modest) = (PeerId::random(), PeerId::random());
        let first = gate.enter(greedy);
        let second = gate.enter(greedy);
        assert!(first.is_some() && second.is_some());
        assert!(gate.enter(greedy).is_none(), "limit per peer");
        let third = gate.enter(modest);
        assert!(third.is_some());
        assert!(gate.enter(PeerId::random()).is_none(), "limit in total");
        drop(first);
        assert!(gate.enter(greedy).is_some());
        assert!(gate.peers.lock().is_ok_and(|peers| peers.len() == 2));
    }
}
