//! Two threads, a Unix or TCP socket's worth of bytes between them, and nothing of Moorline but its
//! memory: `cargo run -p buffers-only`.
//!
//! One side writes length-prefixed lines into a chain, seals each block in place (here: turns the
//! bits) and writes what is ready with one vectored write. The other reads into one buffer, opens
//! records where they lie and takes lines out without a copy. At the end both pools are empty.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use moorline_buffers::{BlockPool, BlockPoolConfig, RecvBuffer, RecvPool, SendBuffer};

const LINES: u32 = 200_000;
const HEAD: usize = 4;
const TAIL: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let begun = Instant::now();
    let sender =
        thread::spawn(move || -> std::io::Result<()> { send(TcpStream::connect(address)?) });
    let (socket, _) = listener.accept()?;
    let (lines, bytes) = receive(socket)?;
    sender.join().map_err(|_| "the sender panicked")??;
    println!("{lines} lines, {bytes} bytes of them, in {:?}", begun.elapsed());
    if lines != LINES {
        return Err(format!("{LINES} lines were sent").into());
    }
    Ok(())
}

/// Messages collect in one chain; what is full is sealed, linked into another and written.
fn send(mut socket: TcpStream) -> std::io::Result<()> {
    let pool = BlockPool::new(BlockPoolConfig::messages());
    let (mut outbox, mut wire) = (SendBuffer::new(&pool), SendBuffer::new(&pool));
    for number in 0..LINES {
        writeln!(outbox, "this is line {number}")?;
        if outbox.blocks() > 4 || number + 1 == LINES {
            seal(&mut outbox, &mut wire);
            write(&mut wire, &mut socket)?;
        }
    }
    drop((outbox, wire));
    report(&pool.stats());
    Ok(())
}

fn seal(outbox: &mut SendBuffer, wire: &mut SendBuffer) {
    while let Some(mut block) = outbox.pop_block() {
        let record = block.wrap(HEAD, TAIL);
        let len = u32::try_from(record.body.len()).expect("a block is smaller than 4 GiB");
        record.head.copy_from_slice(&len.to_be_bytes());
        record.body.iter_mut().for_each(|byte| *byte = !*byte);
        record.tail.fill(0);
        wire.push_block(block);
    }
}

fn write(wire: &mut SendBuffer, socket: &mut TcpStream) -> std::io::Result<()> {
    while !wire.is_empty() {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = wire.io_slices(&mut slices);
        let written = socket.write_vectored(&slices[..filled])?;
        wire.advance(written);
    }
    Ok(())
}

/// Reads until the end of the stream; says how many lines came and how long they were together.
fn receive(mut socket: TcpStream) -> Result<(u32, usize), Box<dyn Error>> {
    let pool = RecvPool::default();
    let mut buffer = pool.acquire(64 << 10)?;
    let (mut lines, mut bytes) = (0, 0);
    loop {
        buffer.reserve(4 << 10)?;
        let read = socket.read(buffer.spare_mut())?;
        buffer.commit(read);
        while let Some(record) = open(&mut buffer) {
            lines += u32::try_from(record.iter().filter(|byte| **byte == b'\n').count())?;
            bytes += record.len();
        }
        if read == 0 {
            break;
        }
    }
    drop(buffer);
    pool.trim_idle(Instant::now()); // whoever runs longer says now and then what time it is
    report(&pool.stats());
    Ok((lines, bytes))
}

/// Opens the next record in place and lends its body, if all of it is there.
fn open(buffer: &mut RecvBuffer) -> Option<&[u8]> {
    let (head, rest) = buffer.unopened().split_first_chunk::<HEAD>()?;
    let len = usize::try_from(u32::from_be_bytes(*head)).ok()?;
    // A real protocol refuses lengths beyond its limit here.
    if rest.len() < len.checked_add(TAIL)? {
        return None;
    }
    buffer.skip_unopened(HEAD);
    buffer.unopened_mut()[..len].iter_mut().for_each(|byte| *byte = !*byte);
    buffer.mark_opened(len + TAIL);
    Some(&buffer.take(len + TAIL)[..len])
}

fn report(stats: &moorline_buffers::PoolStats) {
    println!(
        "pool `{}`: {} blocks taken from the system, used {} times; {} bytes in use, {} free",
        stats.name, stats.allocated, stats.returned, stats.in_use_bytes, stats.free_bytes
    );
}
