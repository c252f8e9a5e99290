//! One connection to the service, which can be asked whether the other end still wants it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::net::{RecvFlags, Shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The socket, held by hyper's connection task and, for the question below, by us.
struct Shared(Arc<TcpStream>);

/// A connection that can carry one request at a time.
pub struct Connection {
    /// Where requests go in.
    pub sender: SendRequest<Full<Bytes>>,
    /// The `Server` and `X-Instance` headers of the last answer: who is at the other end.
    pub peer: (Option<String>, Option<String>),
    socket: Arc<TcpStream>,
}

impl Connection {
    /// Connects, and starts the task that drives the connection; the task ends with it.
    pub async fn open(address: SocketAddr) -> Result<Connection, OpenError> {
        let socket = TcpStream::connect(address).await.map_err(OpenError::Connect)?;
        socket.set_nodelay(true).map_err(OpenError::Connect)?;
        let socket = Arc::new(socket);
        let io = TokioIo::new(Shared(Arc::clone(&socket)));
        let (sender, driver) = http1::handshake(io).await.map_err(OpenError::Handshake)?;
        // Its error is the exchange's error too, and is reported there.
        tokio::spawn(async move {
            let _ = driver.await;
        });
        Ok(Connection { sender, peer: (None, None), socket })
    }

    /// Whether it can carry another request as far as this end can know: the question that every careful
    /// client asks before it uses an idle connection again. A close that arrives after the question is
    /// the service's failure to shut down gently, and is counted.
    pub fn is_healthy(&self) -> bool {
        let mut byte = [0_u8; 1];
        // An idle connection has nothing to read; EOF, bytes that nobody asked for, and errors all mean
        // that the other end is done with it.
        let nothing_to_read = matches!(
            rustix::net::recv(&*self.socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT),
            Err(rustix::io::Errno::AGAIN)
        );
        nothing_to_read && self.sender.is_ready() && !self.sender.is_closed()
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum OpenError {
    /// The address could not be connected to.
    Connect(io::Error),
    /// It could, and the connection was not usable.
    Handshake(hyper::Error),
}

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(&*self.0, Shutdown::Write).map_err(io::Error::from))
    }
}
