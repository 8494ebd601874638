//! Links of a simulated network: libp2p's memory transport, with a delay for each pair of nodes, a
//! count of what each node sends and receives, and a cut through the middle.
//!
//! What arrives is held back by its reader. Bytes are encrypted and framed as between real nodes,
//! and counted in that form.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Future as _};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::memory::Channel;
use libp2p::core::transport::{MemoryTransport, Transport as _};
use libp2p::core::upgrade::Version;
use libp2p::core::{ConnectedPoint, multiaddr::Protocol};
use libp2p::{Multiaddr, PeerId, identity, noise, yamux};
use outcry_net::Transport;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Bytes on their way through one direction of a link; the sender waits when there are more.
const IN_FLIGHT_MAX: usize = 1 << 20;
const CHUNK: usize = 16 * 1024;

/// Ports that no network of this process has used.
static NEXT_PORT: AtomicU64 = AtomicU64::new(1);

/// Delays of a network's links, one way, drawn once per pair of nodes.
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    /// Decides all draws.
    pub seed: u64,
    /// The shortest.
    pub min: Duration,
    /// The longest; in between all are equally likely.
    pub max: Duration,
}

impl Delays {
    /// Delay between two nodes, the same in both directions.
    #[must_use]
    pub fn between(&self, a: usize, b: usize) -> Duration {
        let mut input = [0; 24];
        for (part, value) in
            input
                .chunks_exact_mut(8)
                .zip([self.seed, a.min(b) as u64, a.max(b) as u64])
        {
            part.copy_from_slice(&value.to_be_bytes());
        }
        let draw = blake3::hash(&input);
        let share = draw.as_bytes().first_chunk::<4>().map_or(0.0, |bytes| {
            f64::from(u32::from_be_bytes(*bytes)) / f64::from(u32::MAX)
        });
        self.min + self.max.saturating_sub(self.min).mul_f64(share)
    }
}

/// The links among `nodes` nodes.
#[derive(Debug)]
pub struct Links {
    delays: Delays,
    first_port: u64,
    sent: Vec<AtomicU64>,
    received: Vec<AtomicU64>,
    /// Ends every link between the halves when it is cancelled.
    cut: Mutex<CancellationToken>,
}

impl Links {
    /// Links among so many nodes.
    #[must_use]
    pub fn new(nodes: usize, delays: Delays) -> Arc<Self> {
        Arc::new(Self {
            delays,
            first_port: NEXT_PORT.fetch_add(nodes as u64, Ordering::Relaxed),
            sent: (0..nodes).map(|_| AtomicU64::new(0)).collect(),
            received: (0..nodes).map(|_| AtomicU64::new(0)).collect(),
            cut: Mutex::default(),
        })
    }

    /// Address on which a node listens.
    #[must_use]
    pub fn address(&self, node: usize) -> Multiaddr {
        Protocol::Memory(self.first_port + node as u64).into()
    }

    /// Bytes that all nodes have sent.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        let counts = self.sent.iter().map(|sent| sent.load(Ordering::Relaxed));
        counts.sum()
    }

    /// Bytes that a node has sent and received.
    #[must_use]
    pub fn bytes_of(&self, node: usize) -> u64 {
        let counts = [&self.sent, &self.received];
        let counts = counts.into_iter().filter_map(|counts| counts.get(node));
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Ends all links between the two halves of the nodes, and lets none begin.
    pub fn cut(&self) {
        self.token().cancel();
    }

    /// Lets links between the halves begin again.
    pub fn heal(&self) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = CancellationToken::new();
    }

    fn token(&self) -> CancellationToken {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        cut.clone()
    }

    fn link(self: &Arc<Self>, channel: Channel<Vec<u8>>, me: usize, peer: usize) -> Link {
        let half = self.sent.len() / 2;
        let is_cut = if (me < half) == (peer < half) {
            CancellationToken::new()
        } else {
            self.token()
        };
        Link {
            channel,
            links: Arc::clone(self),
            me,
            delay: self.delays.between(me, peer),
            arrived: VecDeque::new(),
            in_flight: 0,
            ended: false,
            due: Box::pin(tokio::time::sleep(Duration::ZERO)),
            cut: Box::pin(is_cut.cancelled_owned()),
        }
    }

    /// The transport of one node.
    ///
    /// # Errors
    /// The key can't sign the handshake.
    pub fn transport(
        self: &Arc<Self>,
        me: usize,
        key: &identity::Keypair,
    ) -> Result<Transport, noise::Error> {
        let links = Arc::clone(self);
        let memory = MemoryTransport::new().and_then(move |mut channel, point| async move {
            // Who dials says who it is, because a dialler's address is any.
            let peer = match point {
                ConnectedPoint::Dialer { address, .. } => {
                    channel.write_all(&(me as u64).to_be_bytes()).await?;
                    channel.flush().await?;
                    match address.iter().next() {
                        Some(Protocol::Memory(port)) => port.checked_sub(links.first_port),
                        _ => None,
                    }
                }
                ConnectedPoint::Listener { .. } => {
                    let mut peer = [0; 8];
                    channel.read_exact(&mut peer).await?;
                    Some(u64::from_be_bytes(peer))
                }
            };
            let peer = peer
                .and_then(|peer| usize::try_from(peer).ok())
                .ok_or(io::ErrorKind::InvalidInput)?;
            Ok::<_, io::Error>(links.link(channel, me, peer))
        });
        let transport: libp2p::core::transport::Boxed<(PeerId, StreamMuxerBox)> = memory
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(key)?)
            .multiplex(yamux::Config::default())
            .boxed();
        Ok(transport)
    }
}

/// One end of a link.
struct Link {
    channel: Channel<Vec<u8>>,
    links: Arc<Links>,
    me: usize,
    delay: Duration,
    /// What came, and when it may be read.
    arrived: VecDeque<(Instant, Vec<u8>)>,
    in_flight: usize,
    ended: bool,
    due: Pin<Box<Sleep>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Link {
    fn check_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.check_cut(cx)?;
        while !this.ended && this.in_flight < IN_FLIGHT_MAX {
            let mut chunk = vec![0; CHUNK];
            match Pin::new(&mut this.channel).poll_read(cx, &mut chunk) {
                Poll::Pending => break,
                Poll::Ready(count) => {
                    let count = count?;
                    chunk.truncate(count);
                    if let Some(received) = this.links.received.get(this.me) {
                        received.fetch_add(count as u64, Ordering::Relaxed);
                    }
                    this.ended = count == 0;
                    this.in_flight += count;
                    this.arrived.push_back((Instant::now() + this.delay, chunk));
                }
            }
        }
        let Some((due, chunk)) = this.arrived.front_mut() else {
            return if this.ended {
                Poll::Ready(Ok(0))
            } else {
                Poll::Pending
            };
        };
        if *due > Instant::now() {
            this.due.as_mut().reset(*due);
            ready!(this.due.as_mut().poll(cx));
        }
        let count = chunk.len().min(into.len());
        into[..count].copy_from_slice(&chunk[..count]);
        chunk.drain(..count);
        if chunk.is_empty() {
            this.arrived.pop_front();
        }
        this.in_flight -= count;
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_cut(cx)?;
        let count = ready!(Pin::new(&mut self.channel).poll_write(cx, bytes))?;
        if let Some(sent) = self.links.sent.get(self.me) {
            sent.fetch_add(count as u64, Ordering::Relaxed);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.channel).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.channel).poll_close(cx)
    }
}
