//! Somebody between client and server: passes all bytes on, and keeps a copy.

use std::sync::{Arc, Mutex};

use moorline::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

/// The bytes of one connection, in both directions.
pub(crate) struct Middle {
    up: Arc<Mutex<Vec<u8>>>,
    down: Arc<Mutex<Vec<u8>>>,
    cut: Arc<Notify>,
    inject: mpsc::Sender<Vec<u8>>,
}

impl Middle {
    /// Stands before this address; where a client has to go instead.
    pub(crate) async fn before(server: &Address) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let url = server.clone().with_authority(&place).unwrap().to_string();
        let (inject, injected) = mpsc::channel(1);
        let this = Self { up: Arc::default(), down: Arc::default(), cut: Arc::default(), inject };
        let (up, down, cut) = (this.up.clone(), this.down.clone(), this.cut.clone());
        let server = server.authority().to_owned();
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(server).await.unwrap();
            let (client_reads, client_writes) = client.into_split();
            let (server_reads, server_writes) = server.into_split();
            let (_keep, none) = mpsc::channel(1);
            let both = async {
                tokio::join!(
                    pass(client_reads, server_writes, up, injected),
                    pass(server_reads, client_writes, down, none),
                )
            };
            // All four halves are dropped at once when it is cut.
            tokio::select! {
                _ = both => {}
                () = cut.notified() => {}
            }
        });
        (this, url)
    }

    /// What the client has sent.
    pub(crate) fn up(&self) -> Vec<u8> {
        self.up.lock().unwrap().clone()
    }

    /// What the server has sent.
    pub(crate) fn down(&self) -> Vec<u8> {
        self.down.lock().unwrap().clone()
    }

    /// Drops both connections.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Says something to the server that the client did not say.
    pub(crate) async fn inject_up(&self, bytes: &[u8]) {
        self.inject.send(bytes.to_vec()).await.unwrap();
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    seen: Arc<Mutex<Vec<u8>>>,
    mut injected: mpsc::Receiver<Vec<u8>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(0) | Err(_) => {
                    let _ = to.shutdown().await;
                    return;
                }
                Ok(len) => {
                    seen.lock().unwrap().extend_from_slice(&buffer[..len]);
                    if to.write_all(&buffer[..len]).await.is_err() {
                        return;
                    }
                }
            },
            Some(bytes) = injected.recv() => drop(to.write_all(&bytes).await),
        }
    }
}

/// Type and payload length of each unit; the bytes must be whole units.
pub(crate) fn units(bytes: &[u8]) -> impl Iterator<Item = (u8, usize)> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (ty, header, len) = match *rest {
            [0xc7, len, ty, ..] => (ty, 3, usize::from(len)),
            [0xc8, high, low, ty, ..] => (ty, 4, usize::from(u16::from_be_bytes([high, low]))),
            _ => panic!("no unit begins with {:02x?}", &rest[..rest.len().min(4)]),
        };
        rest = &rest[header + len..];
        Some((ty, len))
    })
}
