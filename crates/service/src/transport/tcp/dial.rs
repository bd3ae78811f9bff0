//! Whoever of several addresses answers first is connected to (RFC 8305, "happy eyeballs").

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Tcp;
use crate::address::Address;
use crate::limits::DIAL_NEXT_AFTER;
use crate::transport::no_answer;

/// Resolves the name and tries its addresses, all within this time.
pub(super) async fn dial(
    address: &Address,
    tcp: &Tcp,
    time: Duration,
) -> io::Result<(TcpStream, SocketAddr)> {
    let end = Instant::now().checked_add(time);
    let resolving = tcp.candidates(address);
    let candidates = match end {
        None => resolving.await,
        Some(end) => timeout_at(end, resolving).await.unwrap_or_else(|_elapsed| {
            let text = format!("its name was not resolved by {:?}: ", tcp.resolver);
            Err(io::Error::new(io::ErrorKind::TimedOut, text + &no_answer(time).to_string()))
        }),
    }?;
    let given_up = async {
        match end {
            None => std::future::pending().await,
            Some(end) => sleep_until(end).await,
        }
    };
    let raced = race(candidates, |candidate| tcp.open(candidate), given_up).await;
    raced.map_err(|failed| failed.explain(address, time))
}

/// Why there is no connection, address by address.
#[derive(Debug, Default)]
pub(super) struct Failed {
    tried: Vec<(SocketAddr, io::Error)>,
    silent: Vec<SocketAddr>,
    left_out: usize,
}

/// The first connection there is. The next address gets its turn when the one before has failed, or
/// has not answered for [`DIAL_NEXT_AFTER`]; those before go on meanwhile. Those that come too late
/// are dropped with the future.
async fn race<T, F: Future<Output = io::Result<T>>>(
    candidates: Vec<SocketAddr>,
    open: impl Fn(SocketAddr) -> F,
    given_up: impl Future<Output = ()>,
) -> Result<(T, SocketAddr), Failed> {
    let mut waiting = candidates.into_iter();
    let mut attempts: Vec<(SocketAddr, Pin<Box<F>>)> = Vec::new();
    let mut failed = Failed::default();
    let mut given_up = pin!(given_up);
    loop {
        match waiting.next() {
            Some(candidate) => attempts.push((candidate, Box::pin(open(candidate)))),
            None if attempts.is_empty() => return Err(failed),
            None => {}
        }
        tokio::select! {
            biased;
            (place, result) = first_done(&mut attempts) => match result {
                Ok(connected) => return Ok((connected, place)),
                Err(error) => failed.tried.push((place, error)),
            },
            () = &mut given_up => {
                failed.silent.extend(attempts.iter().map(|(place, _)| *place));
                failed.left_out = waiting.len();
                return Err(failed);
            }
            () = sleep(DIAL_NEXT_AFTER), if waiting.len() > 0 => {}
        }
    }
}

async fn first_done<T, F: Future<Output = T>>(
    attempts: &mut Vec<(SocketAddr, Pin<Box<F>>)>,
) -> (SocketAddr, T) {
    poll_fn(|cx| {
        for (index, (place, attempt)) in attempts.iter_mut().enumerate() {
            if let Poll::Ready(result) = attempt.as_mut().poll(cx) {
                let place = *place;
                attempts.remove(index);
                return Poll::Ready((place, result));
            }
        }
        Poll::Pending
    })
    .await
}

impl Failed {
    /// All of them have had their turn.
    pub(super) fn all(tried: Vec<(SocketAddr, io::Error)>) -> Self {
        Self { tried, ..Self::default() }
    }

    /// In words, for who knows the address that was asked for: what it stands for is named only where
    /// it is a name.
    pub(super) fn explain(self, address: &Address, time: Duration) -> io::Error {
        let kind = self.tried.last().map_or(io::ErrorKind::TimedOut, |(_, error)| error.kind());
        let is_name = address.authority().parse::<SocketAddr>().is_err();
        if is_name {
            return io::Error::new(kind, Told { failed: self, time }.to_string());
        }
        self.tried.into_iter().next().map_or_else(|| no_answer(time), |(_, error)| error)
    }
}

struct Told {
    failed: Failed,
    time: Duration,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { tried, silent, left_out } = &self.failed;
        let mut between = "";
        for (place, error) in tried {
            write!(f, "{between}{place}: {error}")?;
            between = "; ";
        }
        for place in silent {
            write!(f, "{between}{place}: {}", no_answer(self.time))?;
            between = "; ";
        }
        if *left_out > 0 {
            write!(f, "; its other addresses ({left_out}) did not get their turn")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;

    use super::*;

    /// What an address does: after so many milliseconds, for good or bad.
    #[derive(Clone, Copy)]
    enum Does {
        Answers(u64),
        Refuses(u64),
        Nothing,
    }
    use Does::{Answers, Nothing, Refuses};

    fn place(number: usize) -> SocketAddr {
        format!("192.0.2.{number}:1").parse().unwrap()
    }

    /// Who won, and at how many milliseconds each was begun, under a clock that only the race moves.
    async fn run(all: &[Does], time: u64) -> (Result<SocketAddr, Failed>, Vec<u128>) {
        let start = Instant::now();
        let begun = Mutex::new(Vec::new());
        let open = |address: SocketAddr| {
            begun.lock().unwrap().push(start.elapsed().as_millis());
            let does = all[(0..all.len()).find(|number| place(*number) == address).unwrap()];
            async move {
                let (Answers(ms) | Refuses(ms)) = does else { return pending().await };
                sleep(Duration::from_millis(ms)).await;
                match does {
                    Refuses(_) => Err(io::ErrorKind::ConnectionRefused.into()),
                    _ => Ok(()),
                }
            }
        };
        let candidates = (0..all.len()).map(place).collect();
        let raced = race(candidates, open, sleep(Duration::from_millis(time))).await;
        (raced.map(|((), place)| place), begun.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_answers_wins_and_nobody_waits_for_the_dead() {
        for (all, winner, begun) in [
            (vec![Answers(100), Answers(1)], 0, vec![0]),
            (vec![Answers(260), Answers(100)], 0, vec![0, 250]),
            (vec![Answers(400), Answers(100)], 1, vec![0, 250]),
            (vec![Nothing, Answers(10)], 1, vec![0, 250]),
            (vec![Refuses(20), Answers(10)], 1, vec![0, 20]),
            (vec![Refuses(20), Nothing, Answers(10)], 2, vec![0, 20, 270]),
            (vec![Nothing, Refuses(10), Answers(10)], 2, vec![0, 250, 260]),
            (vec![Answers(900), Nothing, Nothing, Refuses(0)], 0, vec![0, 250, 500, 750]),
        ] {
            let (won, at) = run(&all, 10_000).await;
            assert_eq!((won.unwrap(), at), (place(winner), begun));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_says_what_became_of_each_address() {
        let (failed, _) = run(&[Refuses(10), Refuses(10)], 10_000).await;
        let name = "tcp://example.org:1".parse().unwrap();
        let error = failed.unwrap_err().explain(&name, Duration::from_secs(10));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let said = "192.0.2.0:1: connection refused; 192.0.2.1:1: connection refused";
        assert_eq!(error.to_string(), said);

        let (failed, begun) = run(&[Nothing, Refuses(10), Nothing, Nothing], 400).await;
        assert_eq!(begun, [0, 250, 260]);
        let said = failed.unwrap_err().explain(&name, Duration::from_millis(400)).to_string();
        let silent = "no answer in 400ms (knob: `connect_timeout`)";
        assert_eq!(
            said,
            format!(
                "192.0.2.1:1: connection refused; 192.0.2.0:1: {silent}; 192.0.2.2:1: {silent}; \
                 its other addresses (1) did not get their turn"
            )
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_name_is_not_said_again() {
        let address = "tcp://192.0.2.0:1".parse().unwrap();
        let (failed, _) = run(&[Refuses(1)], 10).await;
        let said = failed.unwrap_err().explain(&address, Duration::from_millis(10)).to_string();
        assert_eq!(said, "connection refused");
        let (failed, _) = run(&[Nothing], 10).await;
        let error = failed.unwrap_err().explain(&address, Duration::from_millis(10));
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "no answer in 10ms (knob: `connect_timeout`)");
    }
}
