//! Options of TCP sockets: whether they can be, and how they get to the system.

use std::io;
use std::time::Duration;

use moorline_protocol::SettingOutOfBounds;
use socket2::{SockRef, TcpKeepalive};

use super::Tcp;
use crate::limits::{
    KEEP_ALIVE_COUNT_MAX, KEEP_ALIVE_TIME_MAX, SOCKET_BUFFER_BYTES_MAX, USER_TIMEOUT_MAX,
};

/// When the system asks whether the other host is still there (`SO_KEEPALIVE`). It counts whole
/// seconds.
///
/// A session asks by itself where something waits for the peer, and reaches the peer's program with
/// it, see [`heartbeat`](crate::ServiceBuilder::heartbeat) and
/// [`keep_alive`](crate::ServiceBuilder::keep_alive). This here reaches the peer's system alone, but
/// costs a session at rest no timer of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before it asks for the first time; 1 s to 9 hours.
    pub idle: Duration,
    /// Time between two of its questions; 1 s to 9 hours.
    pub interval: Duration,
    /// Questions without an answer after which the connection is broken; 1 to 127.
    pub count: u32,
}

impl Tcp {
    /// Says what cannot be before a socket is made; later on nobody would hear it.
    pub(super) fn check(&self) -> io::Result<()> {
        let seconds = |time: Duration| time.as_secs();
        let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let buffer_max = wide(SOCKET_BUFFER_BYTES_MAX);
        if let Some(bytes) = self.send_buffer_bytes {
            within("Tcp::send_buffer_bytes", wide(bytes), buffer_max)?;
        }
        if let Some(bytes) = self.recv_buffer_bytes {
            within("Tcp::recv_buffer_bytes", wide(bytes), buffer_max)?;
        }
        if let Some(KeepAlive { idle, interval, count }) = self.keep_alive {
            let most = seconds(KEEP_ALIVE_TIME_MAX);
            within("Tcp::keep_alive.idle (seconds)", seconds(idle), most)?;
            within("Tcp::keep_alive.interval (seconds)", seconds(interval), most)?;
            within("Tcp::keep_alive.count", count.into(), KEEP_ALIVE_COUNT_MAX.into())?;
        }
        if let Some(time) = self.user_timeout {
            let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            within("Tcp::user_timeout (milliseconds)", ms(time), ms(USER_TIMEOUT_MAX))?;
        }
        Ok(())
    }

    /// For a socket that does not listen and is not connected yet: how large its window may become is
    /// agreed on with the first packets. Connections have what their listener had.
    pub(super) fn set_buffers(&self, socket: SockRef<'_>) -> io::Result<()> {
        if let Some(bytes) = self.send_buffer_bytes {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.recv_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        Ok(())
    }

    /// For a connection.
    pub(super) fn set_options(&self, socket: SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(self.no_delay)?;
        if let Some(keep_alive) = self.keep_alive {
            let probes = TcpKeepalive::new().with_time(keep_alive.idle);
            #[cfg(not(target_os = "openbsd"))]
            let probes = probes.with_interval(keep_alive.interval).with_retries(keep_alive.count);
            socket.set_tcp_keepalive(&probes)?;
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            socket.set_tcp_user_timeout(self.user_timeout)?;
            if let Some(bytes) = self.unsent_bytes_max {
                socket.set_tcp_notsent_lowat(bytes)?;
            }
        }
        Ok(())
    }
}

fn within(knob: &'static str, value: u64, max: u64) -> io::Result<()> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    let wrong = SettingOutOfBounds { knob, value, min: 1, max };
    Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    fn socket() -> Socket {
        Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()
    }

    #[test]
    fn a_socket_has_the_options_it_was_given() {
        let (socket, tcp) = (socket(), Tcp::default());
        tcp.set_options(SockRef::from(&socket)).unwrap();
        assert!(socket.tcp_nodelay().unwrap() && !socket.keepalive().unwrap());

        let keep_alive =
            KeepAlive { idle: Duration::from_secs(30), interval: Duration::from_secs(5), count: 4 };
        let tcp = Tcp { no_delay: false, keep_alive: Some(keep_alive), ..tcp };
        tcp.check().unwrap();
        tcp.set_options(SockRef::from(&socket)).unwrap();
        assert!(!socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(socket.tcp_keepalive_time().unwrap(), keep_alive.idle);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), keep_alive.interval);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), keep_alive.count);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_socket_of_linux_has_the_options_of_linux() {
        let (socket, tcp) = (socket(), Tcp::default());
        tcp.set_options(SockRef::from(&socket)).unwrap();
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 64 * 1024);
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
        let user_timeout = Some(Duration::from_millis(12_345));
        let tcp = Tcp { unsent_bytes_max: Some(4_096), user_timeout, ..tcp };
        tcp.set_options(SockRef::from(&socket)).unwrap();
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 4_096);
        assert_eq!(socket.tcp_user_timeout().unwrap(), user_timeout);
    }

    #[test]
    fn buffers_are_as_large_as_asked_for_or_larger() {
        let socket = socket();
        let (send_buffer_bytes, recv_buffer_bytes) = (Some(20_000), Some(30_000));
        let tcp = Tcp { send_buffer_bytes, recv_buffer_bytes, ..Tcp::default() };
        tcp.set_buffers(SockRef::from(&socket)).unwrap();
        // Linux doubles them, for what it needs itself.
        assert!((20_000..=40_000).contains(&socket.send_buffer_size().unwrap()));
        assert!((30_000..=60_000).contains(&socket.recv_buffer_size().unwrap()));
    }

    #[test]
    fn what_cannot_be_is_named_with_its_knob() {
        let good =
            KeepAlive { idle: Duration::from_secs(1), interval: Duration::from_secs(1), count: 1 };
        let with = |keep_alive| Tcp { keep_alive: Some(keep_alive), ..Tcp::default() };
        let half = Duration::from_millis(500);
        for (tcp, said) in [
            (Tcp { send_buffer_bytes: Some(0), ..Tcp::default() }, "`Tcp::send_buffer_bytes` is 0"),
            (Tcp { recv_buffer_bytes: Some(0), ..Tcp::default() }, "`Tcp::recv_buffer_bytes` is 0"),
            (with(KeepAlive { idle: half, ..good }), "`Tcp::keep_alive.idle (seconds)` is 0"),
            (with(KeepAlive { interval: half, ..good }), "keep_alive.interval (seconds)` is 0"),
            (with(KeepAlive { count: 128, ..good }), "is 128, it must be from 1 to 127"),
            (
                Tcp { user_timeout: Some(Duration::ZERO), ..Tcp::default() },
                "`Tcp::user_timeout (milliseconds)` is 0",
            ),
        ] {
            let error = tcp.check().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        with(good).check().unwrap();
    }
}
