//! What suites and providers cost, on one core.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use moorline_noise::{Provider, Suite};

use crate::pair::Pair;

/// Each figure is the best of so many tries, since whatever else a machine does makes it worse only.
const TRIES: u32 = 5;

/// How long a try is.
const TIME: Duration = Duration::from_millis(50);

/// Lengths of records that are measured, in bytes.
pub(crate) const SIZES: [usize; 3] = [64, 1_024, 16_384];

/// Whole handshakes per second, both sides on one core, for each provider.
pub(crate) struct Handshakes {
    pub(crate) suite: Suite,
    pub(crate) per_second: [f64; 2],
}

/// Megabytes per second, sealed and opened, for each length in [`SIZES`].
pub(crate) struct Records {
    pub(crate) name: String,
    pub(crate) megabytes: [f64; 3],
}

pub(crate) fn providers() -> [Provider; 2] {
    [Provider::pure(), moorline_noise_aws_lc::provider()]
}

pub(crate) fn handshakes() -> Result<Vec<Handshakes>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for suite in Suite::ALL {
        let mut per_second = [0.0; 2];
        for (provider, figure) in providers().into_iter().zip(&mut per_second) {
            let pair = Pair::new(provider)?;
            let _session = pair.shake_hands(suite)?;
            *figure = per_second_of(|| {
                let _both = black_box(pair.shake_hands(suite).expect("it worked before"));
            });
        }
        rows.push(Handshakes { suite, per_second });
    }
    Ok(rows)
}

pub(crate) fn records() -> Result<Vec<Records>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for (suite, cipher) in [(Suite::Nk, "ChaCha20-Poly1305"), (Suite::NkHfsAes, "AES-256-GCM")] {
        for provider in providers() {
            let (mut ours, mut theirs) = Pair::new(provider)?.shake_hands(suite)?;
            let mut megabytes = [0.0; 3];
            for (size, figure) in SIZES.into_iter().zip(&mut megabytes) {
                let mut record = vec![7; size + 16];
                let records = per_second_of(|| {
                    let (body, tag) = record.split_last_chunk_mut().expect("there is room");
                    ours.sealer.seal(b"head", body, tag).expect("it is long enough");
                    black_box(theirs.opener.open(b"head", &mut record).expect("it is genuine"));
                });
                *figure = records * f64::from(u32::try_from(size)?) / 1e6;
            }
            rows.push(Records { name: format!("{cipher}, {}", provider.name), megabytes });
        }
    }
    Ok(rows)
}

/// How often `work` can be done in a second.
fn per_second_of(mut work: impl FnMut()) -> f64 {
    let mut once = || {
        let (start, mut times) = (Instant::now(), 0_u32);
        while start.elapsed() < TIME {
            for _ in 0..8 {
                work();
            }
            times += 8;
        }
        f64::from(times) / start.elapsed().as_secs_f64()
    };
    (0..TRIES).map(|_| once()).fold(0.0, f64::max)
}

pub(crate) fn print(handshakes: &[Handshakes], records: &[Records]) {
    if cfg!(debug_assertions) {
        println!("notice: this is a debug build, its figures mean nothing; use --release\n");
    }
    println!("Handshakes per second, both sides on one core");
    println!("  {:<52}{:>10}{:>10}", "suite", "pure", "aws-lc");
    for Handshakes { suite, per_second: [pure, aws_lc] } in handshakes {
        println!("  {:02x}  {:<48}{pure:>10.0}{aws_lc:>10.0}", suite.id(), suite.name());
    }
    println!("\nMegabytes per second, sealed and opened on one core");
    println!("  {:<32}{:>10}{:>10}{:>10}", "cipher, provider", "64 B", "1 KiB", "16 KiB");
    for Records { name, megabytes: [small, middle, large] } in records {
        println!("  {name:<32}{small:>10.0}{middle:>10.0}{large:>10.0}");
    }
}
