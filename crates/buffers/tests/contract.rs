//! What the other layers build on, said once with the smallest example each.

use std::io::{IoSlice, Write};
use std::thread;

use moorline_buffers::limits::{self, CACHE_BLOCKS_MAX, RECV_FREE_BLOCKS_PER_CLASS_MAX};
use moorline_buffers::{
    Block, BlockPool, BlockPoolConfig, Knob, RecvBuffer, RecvPool, RecvPoolConfig, SendBuffer,
};

fn small_blocks(blocks_max: usize) -> BlockPool {
    BlockPool::new(BlockPoolConfig {
        name: "small",
        payload: 8,
        head_room: 4,
        tail_room: 16,
        blocks_max,
        free_blocks_max: 4,
        idle_time: limits::IDLE_TIME,
    })
}

#[test]
fn buffers_blocks_and_chains_can_change_threads() {
    fn moves_between_threads<T: Send>() {}
    moves_between_threads::<RecvBuffer>();
    moves_between_threads::<Block>();
    moves_between_threads::<SendBuffer>();
}

#[test]
fn a_record_is_skipped_opened_and_taken() {
    let pool = RecvPool::default();
    let mut buffer = pool.acquire(1000).unwrap();
    assert_eq!(buffer.capacity(), 1024);
    buffer.extend_from_slice(b"HEADbodyTAG").unwrap();
    buffer.skip_unopened(4);
    buffer.unopened_mut()[..4].make_ascii_uppercase();
    buffer.mark_opened(4);
    assert_eq!(buffer.readable(), b"BODY");
    assert_eq!(buffer.take(3), b"BOD");
    buffer.consume(1);
    buffer.skip_unopened(3);
    assert!(buffer.is_empty());
}

#[test]
fn growing_copies_once_and_returns_the_old_block() {
    let pool = RecvPool::default();
    let mut buffer = pool.acquire(256).unwrap();
    buffer.extend_from_slice(&[7; 256]).unwrap();
    buffer.mark_opened(200);
    buffer.consume(100);
    buffer.reserve(100).unwrap();
    assert_eq!((buffer.capacity(), pool.stats().allocated), (256, 1));
    buffer.reserve(101).unwrap();
    assert_eq!(buffer.capacity(), 512);
    assert_eq!((buffer.readable(), buffer.unopened()), (&[7; 100][..], &[7; 56][..]));
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.in_use_bytes, stats.returned), (1, 512, 1));
    assert_eq!((stats.allocated, stats.free, stats.free_bytes, stats.high_water), (2, 1, 256, 768));
    drop(buffer);
    assert_eq!((pool.stats().in_use, pool.stats().in_use_bytes), (0, 0));
    pool.trim();
    assert_eq!((pool.stats().free, pool.stats().free_bytes), (0, 0));
}

#[test]
fn exhaustion_is_an_error_that_names_its_knob_and_passes() {
    let pool = RecvPool::new(RecvPoolConfig { in_use_bytes_max: 512, ..RecvPoolConfig::default() });
    let held = pool.acquire(512).unwrap();
    let refused = pool.acquire(1).unwrap_err();
    assert_eq!((refused.asked, refused.in_use, refused.limit), (256, 512, 512));
    assert_eq!(refused.knob, Knob::InUseBytesMax);
    drop(held);
    assert!(pool.acquire(1).is_ok());
    assert_eq!(pool.acquire(usize::MAX).unwrap_err().knob, Knob::BufferBytesMax);
    let pool = RecvPool::new(RecvPoolConfig { buffer_bytes_max: usize::MAX, ..Default::default() });
    assert_eq!(pool.acquire(usize::MAX / 2 + 1).unwrap_err().knob, Knob::BufferBytesMax);
    assert_eq!((pool.stats().refused, pool.stats().allocated), (1, 0));

    let pool = small_blocks(2);
    let mut chain = SendBuffer::new(&pool);
    chain.extend_from_slice(b"abc").unwrap();
    let refused = chain.extend_from_slice(&[0; 14]).unwrap_err();
    assert_eq!((refused.in_use, refused.limit, refused.knob), (2, 2, Knob::BlocksMax));
    assert_eq!((chain.len(), chain.blocks(), pool.stats().in_use), (3, 1, 1));
    chain.extend_from_slice(&[0; 13]).unwrap();
    assert_eq!(chain.reserve(9).unwrap_err().knob, Knob::BlockMax);
}

#[test]
fn a_block_is_popped_sealed_in_place_and_written() {
    let pool = small_blocks(16);
    let mut outbox = SendBuffer::new(&pool);
    outbox.write_all(b"0123456789").unwrap();
    let mut wire = SendBuffer::new(&pool);
    while let Some(mut block) = outbox.pop_block() {
        let wrapped = block.wrap(4, 16);
        wrapped.head.copy_from_slice(b"head");
        wrapped.body.reverse();
        wrapped.tail.fill(b't');
        wire.push_block(block);
    }
    assert_eq!((wire.len(), wire.blocks(), wire.tail_spare()), (50, 2, 0));
    let mut slices = [IoSlice::new(&[]); 4];
    assert_eq!(wire.io_slices(&mut slices), 2);
    assert_eq!(*slices[0], *b"head76543210tttttttttttttttt");
    assert_eq!(*slices[1], *b"head98tttttttttttttttt");
    wire.advance(30);
    assert_eq!(wire.front().unwrap().bytes(), b"ad98tttttttttttttttt");
    wire.advance(20);
    assert_eq!((wire.blocks(), pool.stats().in_use, pool.stats().free), (0, 0, 2));
}

#[test]
fn a_copy_is_sealed_while_the_plain_block_is_kept() {
    let pool = small_blocks(16);
    let mut chain = SendBuffer::new(&pool);
    chain.extend_from_slice(b"plain").unwrap();
    chain.add_weight(3);
    let plain = chain.pop_block().unwrap();
    let mut sealed = pool.acquire().unwrap();
    sealed.copy_payload_from(&plain);
    sealed.wrap(4, 16).body.fill(b'x');
    assert_eq!((plain.bytes(), plain.weight()), (&b"plain"[..], 3));
    assert_eq!((sealed.len(), &sealed.bytes()[4..9], sealed.weight()), (25, &b"xxxxx"[..], 0));
}

#[test]
fn a_block_that_was_sealed_takes_the_next_copy_from_the_start() {
    let pool = small_blocks(2);
    let (mut plain, mut copy) = (pool.acquire().unwrap(), pool.acquire().unwrap());
    plain.spare_mut()[..3].copy_from_slice(b"abc");
    plain.commit(3);
    copy.wrap(4, 16).head.fill(1);
    copy.copy_payload_from(&plain);
    assert_eq!((copy.bytes(), copy.spare()), (&b"abc"[..], 5));
    assert_eq!(copy.wrap(4, 16).body, b"abc");
}

#[test]
fn reserving_uses_the_tail_as_long_as_it_fits_and_forgotten_rooms_return() {
    let pool = small_blocks(16);
    let mut chain = SendBuffer::new(&pool);
    chain.extend_from_slice(b"123").unwrap();
    assert_eq!(chain.reserve(5).unwrap().len(), 5);
    assert_eq!((chain.blocks(), pool.stats().in_use), (1, 1));
    chain.commit(4);
    assert_eq!(chain.reserve(2).unwrap().len(), 8);
    assert_eq!((chain.blocks(), chain.len(), pool.stats().in_use), (1, 7, 2));
    chain.commit(0);
    assert_eq!(pool.stats().in_use, 1);

    let mut forgotten = SendBuffer::new(&pool);
    forgotten.reserve(1).unwrap();
    chain.append(&mut forgotten);
    assert_eq!((chain.blocks(), pool.stats().in_use), (1, 1));
    chain.push_block(pool.acquire().unwrap());
    assert_eq!((chain.blocks(), pool.stats().in_use), (1, 1));
}

#[test]
fn a_chain_takes_blocks_of_other_pools_and_fills_up_what_they_left() {
    let (pool, bulk) = (small_blocks(16), BlockPool::new(BlockPoolConfig::bulk()));
    let mut chain = SendBuffer::new(&pool);
    let mut large = SendBuffer::new(&bulk);
    large.extend_from_slice(&[1; 100_000]).unwrap();
    chain.append(&mut large);
    assert_eq!((chain.len(), chain.blocks(), large.blocks()), (100_000, 2, 0));
    // Its tail holds more than this chain would put into a block.
    assert_eq!(chain.tail_spare(), 0);
    chain.extend_from_slice(b"abc").unwrap();
    assert_eq!((chain.blocks(), chain.tail_spare()), (3, 5));
    chain.advance(100_001);
    assert_eq!((bulk.stats().in_use, bulk.stats().free), (0, 2));
    assert_eq!(chain.front().unwrap().bytes(), b"bc");
}

#[test]
fn weight_goes_where_its_block_goes() {
    let pool = small_blocks(16);
    let mut chain = SendBuffer::new(&pool);
    assert_eq!((chain.tail_weight(), chain.tail_spare()), (0, 0));
    chain.extend_from_slice(b"12345678").unwrap();
    chain.add_weight(5);
    chain.extend_from_slice(b"9").unwrap();
    chain.add_weight(u32::MAX);
    chain.add_weight(1);
    assert_eq!(chain.tail_weight(), u32::MAX);
    assert_eq!(chain.pop_block().unwrap().weight(), 5);
    assert_eq!(chain.pop_block().unwrap().weight(), u32::MAX);
}

#[test]
#[should_panic(expected = "weight is added to bytes that are there")]
fn weight_of_an_empty_chain_is_a_mistake_and_not_lost() {
    SendBuffer::new(&small_blocks(1)).add_weight(1);
}

#[test]
fn a_wiped_buffer_holds_nothing_of_what_it_held() {
    let pool = RecvPool::default();
    let mut buffer = pool.acquire(256).unwrap();
    buffer.extend_from_slice(&[0x5A; 256]).unwrap();
    buffer.wipe();
    assert!(buffer.is_empty());
    assert_eq!(buffer.spare_mut(), [0; 256]);
}

#[test]
#[cfg(debug_assertions)]
fn nobody_sees_what_another_left_in_a_block() {
    let (recv, blocks) = (RecvPool::default(), small_blocks(1));
    recv.acquire(256).unwrap().extend_from_slice(&[0x5A; 256]).unwrap();
    assert!(!recv.acquire(256).unwrap().spare_mut().contains(&0x5A));
    let mut block = blocks.acquire().unwrap();
    block.spare_mut().fill(0x5A);
    drop(block);
    assert!(!blocks.acquire().unwrap().spare_mut().contains(&0x5A));
}

#[test]
fn what_does_not_fit_the_free_lists_goes_back_to_the_allocator() {
    let config = RecvPoolConfig { free_bytes_max: 1024, ..RecvPoolConfig::default() };
    let pool = RecvPool::new(config);
    let held: Vec<RecvBuffer> = (0..6).map(|_| pool.acquire(256).unwrap()).collect();
    drop(held);
    assert_eq!((pool.stats().free, pool.stats().free_bytes), (4, 1024));
    drop(pool.acquire(2048).unwrap());
    drop(pool.acquire(512).unwrap());
    assert_eq!((pool.stats().free, pool.stats().free_bytes), (4, 1024));

    let pool = RecvPool::default();
    let held: Vec<RecvBuffer> = (0..300).map(|_| pool.acquire(256).unwrap()).collect();
    drop(held);
    // This thread keeps a few for itself.
    let free_max = RECV_FREE_BLOCKS_PER_CLASS_MAX + CACHE_BLOCKS_MAX;
    assert!((RECV_FREE_BLOCKS_PER_CLASS_MAX..=free_max).contains(&pool.stats().free));
    assert_eq!(pool.stats().free_bytes, pool.stats().free * 256);
    pool.trim();

    drop(pool.acquire((1 << 22) + 1).unwrap());
    assert_eq!(pool.stats().free, 0);
    drop(pool.acquire(1 << 22).unwrap());
    assert_eq!(pool.stats().free_bytes, 1 << 22);

    let blocks = small_blocks(16);
    let held: Vec<Block> = (0..6).map(|_| blocks.acquire().unwrap()).collect();
    drop(held);
    assert_eq!((blocks.stats().free, blocks.stats().free_bytes), (4, 4 * 28));
    blocks.trim();
    assert_eq!(blocks.stats().free, 0);
}

#[test]
fn the_block_pools_have_the_sizes_they_promise() {
    let messages = BlockPool::new(BlockPoolConfig::messages());
    let bulk = BlockPool::new(BlockPoolConfig::bulk());
    let (message, large) = (messages.acquire().unwrap(), bulk.acquire().unwrap());
    assert_eq!((message.spare(), messages.stats().in_use_bytes), (16_384, 16_404));
    assert_eq!((large.spare(), bulk.stats().in_use_bytes), (65_516, 65_536));
    drop((message, large));
}

#[test]
fn debug_prints_lengths_and_no_contents() {
    let mut buffer = RecvPool::default().acquire(256).unwrap();
    buffer.extend_from_slice(b"secret").unwrap();
    assert_eq!(
        format!("{buffer:?}"),
        "RecvBuffer { readable: 0, unopened: 6, spare: 250, capacity: 256 }"
    );
    let mut chain = SendBuffer::new(&small_blocks(2));
    chain.extend_from_slice(b"secret").unwrap();
    assert_eq!(format!("{chain:?}"), "SendBuffer { len: 6, blocks: 1 }");
    let mut block = chain.pop_block().unwrap();
    assert_eq!(format!("{block:?}"), "Block { len: 6, spare: 2, weight: 0 }");
    assert!(!format!("{:?}", block.wrap(0, 0)).contains("115"), "the body is not printed");
}

#[test]
fn a_buffer_dropped_by_another_thread_finds_its_pool() {
    let (recv, blocks) = (RecvPool::default(), small_blocks(8));
    let mut buffer = recv.acquire(1).unwrap();
    buffer.extend_from_slice(b"handed over").unwrap();
    let mut chain = SendBuffer::new(&blocks);
    chain.extend_from_slice(b"handed over").unwrap();
    thread::spawn(move || {
        assert_eq!(buffer.unopened(), b"handed over");
        assert_eq!(chain.pop_block().unwrap().bytes(), b"handed o");
    })
    .join()
    .unwrap();
    assert_eq!((recv.stats().in_use, recv.stats().free), (0, 1));
    assert_eq!((blocks.stats().in_use, blocks.stats().free), (0, 2));
}

#[test]
fn a_buffer_too_large_for_two_reads_becomes_smaller() {
    let pool = RecvPool::default();
    let mut buffer = pool.acquire(512 << 10).unwrap();
    let read = |buffer: &mut RecvBuffer, bytes| {
        buffer.reserve(1024).unwrap();
        buffer.commit(bytes);
        buffer.mark_opened(bytes);
        buffer.consume(bytes);
        buffer.capacity() >> 10
    };
    assert_eq!(read(&mut buffer, 100), 512);
    assert_eq!(read(&mut buffer, 200 << 10), 512, "one short read is no habit");
    assert_eq!((read(&mut buffer, 100), read(&mut buffer, 100)), (512, 512));
    // Half each time, and never below what a driver reads at once.
    assert_eq!((read(&mut buffer, 100), read(&mut buffer, 100)), (256, 256));
    assert_eq!((read(&mut buffer, 100), read(&mut buffer, 100)), (128, 128));
    assert_eq!((read(&mut buffer, 100), read(&mut buffer, 100)), (64, 64));
    assert_eq!((read(&mut buffer, 100), read(&mut buffer, 100)), (64, 64));
    assert_eq!(pool.stats().in_use, 1);
    // What is asked for comes first.
    let mut buffer = pool.acquire(512 << 10).unwrap();
    (0..2).for_each(|_| assert_eq!(read(&mut buffer, 1), 512));
    buffer.reserve(300 << 10).unwrap();
    assert_eq!(buffer.capacity(), 512 << 10);
}

#[test]
fn a_buffer_that_holds_something_is_not_changed_for_a_smaller_one() {
    let pool = RecvPool::default();
    let mut buffer = pool.acquire(512 << 10).unwrap();
    for _ in 0..3 {
        buffer.commit(1);
        buffer.reserve(1).unwrap();
    }
    assert_eq!((buffer.capacity(), buffer.len()), (512 << 10, 3));
}

#[test]
fn the_largest_buffer_is_the_configured_one_and_no_byte_more() {
    let config = RecvPoolConfig { buffer_bytes_max: 5000, ..RecvPoolConfig::default() };
    let pool = RecvPool::new(config);
    let mut buffer = pool.acquire(5000).unwrap();
    assert_eq!(pool.acquire(5001).unwrap_err().limit, 5000);
    buffer.extend_from_slice(&[1; 5000]).unwrap();
    assert_eq!(buffer.extend_from_slice(&[1; 3193]).unwrap_err().knob, Knob::BufferBytesMax);
    assert_eq!(buffer.len(), 5000);
}

#[test]
fn one_write_has_no_more_slices_than_a_system_takes() {
    let pool = BlockPool::new(BlockPoolConfig { payload: 1, ..BlockPoolConfig::messages() });
    let mut chain = SendBuffer::new(&pool);
    chain.extend_from_slice(&[1; 1500]).unwrap();
    let mut slices = vec![IoSlice::new(&[]); 1500];
    assert_eq!((chain.io_slices(&mut slices), chain.blocks()), (limits::IO_SLICES_MAX, 1500));
    assert!(slices[limits::IO_SLICES_MAX..].iter().all(|slice| slice.is_empty()));
    chain.advance(1024);
    assert_eq!(chain.io_slices(&mut vec![IoSlice::new(&[]); 1500]), 476);
}

#[test]
fn memory_that_was_provided_is_used_before_the_system_is_asked() {
    let (recv, blocks) = (RecvPool::default(), BlockPool::new(BlockPoolConfig::messages()));
    recv.provide(60_000, 4);
    blocks.provide(20);
    recv.provide(usize::MAX, 1);
    assert_eq!((recv.stats().free_bytes, blocks.stats().free), (4 << 16, 20));
    let held: Vec<RecvBuffer> = (0..4).map(|_| recv.acquire(1 << 16).unwrap()).collect();
    let lent: Vec<Block> = (0..20).map(|_| blocks.acquire().unwrap()).collect();
    assert_eq!((recv.stats().allocated, blocks.stats().allocated), (4, 20));
    drop((held, lent));
    // No more than the pool may keep.
    let small = small_blocks(16);
    small.provide(100);
    assert_eq!((small.stats().free, small.stats().allocated), (4, 4));
    small.invariants();
    recv.invariants();
}

#[test]
fn the_payload_begins_with_a_cache_line() {
    for config in [BlockPoolConfig::messages(), BlockPoolConfig::bulk()] {
        let pool = BlockPool::new(BlockPoolConfig { head_room: 5, ..config });
        let blocks: Vec<Block> = (0..20).map(|_| pool.acquire().unwrap()).collect();
        for block in &blocks {
            assert_eq!(block.bytes().as_ptr().align_offset(limits::PAYLOAD_ALIGNMENT), 0);
        }
    }
}

#[test]
fn blocks_outlive_their_pool_and_keep_nothing() {
    let pool = RecvPool::default();
    let mut buffer = pool.acquire(256).unwrap();
    drop(pool);
    buffer.extend_from_slice(&[1; 10_000]).unwrap();
    assert_eq!(buffer.capacity(), 16_384);
    drop(buffer);
}

/// The formula of docs/LIMITS.md: what is lent, what is kept, and a cache for each thread.
#[test]
fn memory_stays_within_its_formula_whatever_threads_do() {
    const THREADS: usize = 4;
    let config = RecvPoolConfig {
        in_use_bytes_max: 64 << 20,
        free_bytes_max: 16 << 20,
        ..RecvPoolConfig::default()
    };
    let pool = RecvPool::new(config);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..50 {
                    let held: Vec<_> =
                        (0..round).map_while(|_| pool.acquire(1 << 16).ok()).collect();
                    let stats = pool.stats();
                    assert!(stats.in_use_bytes <= config.in_use_bytes_max);
                    let free_max = config.free_bytes_max + THREADS * limits::CACHE_BYTES_MAX;
                    assert!(stats.free_bytes <= free_max);
                    drop(held);
                }
            });
        }
    });
    assert_eq!((pool.stats().in_use, pool.stats().in_use_bytes), (0, 0));
    pool.invariants();
}
