//! Every operation of a send chain, in any order, against a plain vector of bytes; the structure
//! (how bytes lie in blocks) is held to its rules beside it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;

use std::io::{IoSlice, Write};

use moorline_buffers::{Block, BlockPool, BlockPoolConfig, SendBuffer};
use proptest::prelude::*;

const PAYLOAD: usize = 32;
const HEAD: usize = 4;
const TAIL: usize = 16;

/// Lengths called a part are fractions of what is there, in 256ths.
#[derive(Clone, Debug)]
enum Step {
    Extend(usize),
    Write(usize),
    Reserve { asked: usize, part: usize },
    ReserveAndForget(usize),
    CloseTail,
    PushPlain(usize),
    PushWrapped(usize),
    Pop,
    SealFrontToOther,
    ResendFrontToOther,
    Append,
    Swap,
    Advance(usize),
    BlockMax(usize),
    Clear,
    Park,
}

fn step() -> impl Strategy<Value = Step> {
    let part = || prop_oneof![Just(0), Just(256), 0..=256_usize];
    let edges = PAYLOAD - 2..=PAYLOAD + 2;
    let len = move || prop_oneof![0..8_usize, edges.clone(), 0..4 * PAYLOAD];
    prop_oneof![
        4 => len().prop_map(Step::Extend),
        4 => len().prop_map(Step::Write),
        3 => (0..=PAYLOAD, part()).prop_map(|(asked, part)| Step::Reserve { asked, part }),
        1 => (0..=PAYLOAD).prop_map(Step::ReserveAndForget),
        1 => Just(Step::CloseTail),
        2 => (0..=PAYLOAD).prop_map(Step::PushPlain),
        2 => (0..=PAYLOAD).prop_map(Step::PushWrapped),
        2 => Just(Step::Pop),
        2 => Just(Step::SealFrontToOther),
        1 => Just(Step::ResendFrontToOther),
        2 => Just(Step::Append),
        1 => Just(Step::Swap),
        3 => part().prop_map(Step::Advance),
        1 => (0..=PAYLOAD + 1).prop_map(Step::BlockMax),
        1 => Just(Step::Clear),
        1 => Just(Step::Park),
    ]
}

/// Two chains, so that blocks can move, and what each should hold.
struct Pair {
    pool: BlockPool,
    chains: [SendBuffer; 2],
    models: [Vec<u8>; 2],
    next: u8,
}

impl Pair {
    fn new() -> Self {
        let pool = BlockPool::new(BlockPoolConfig {
            name: "model",
            payload: PAYLOAD,
            head_room: HEAD,
            tail_room: TAIL,
            blocks_max: usize::MAX,
            free_blocks_max: 1024,
            ..BlockPoolConfig::messages()
        });
        let chains = [SendBuffer::new(&pool), SendBuffer::new(&pool)];
        Self { pool, chains, models: [Vec::new(), Vec::new()], next: 0 }
    }

    /// Bytes that differ from their neighbours, so that a swap or a gap shows.
    fn fresh(&mut self, len: usize) -> Vec<u8> {
        let mut byte = || {
            self.next = self.next.wrapping_add(1);
            self.next
        };
        (0..len).map(|_| byte()).collect()
    }

    fn block_of(&mut self, len: usize) -> Block {
        let bytes = self.fresh(len);
        let mut block = self.pool.acquire().unwrap();
        block.spare_mut()[..len].copy_from_slice(&bytes);
        block.commit(len);
        block
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Extend(len) => {
                let bytes = self.fresh(len);
                self.chains[0].extend_from_slice(&bytes).unwrap();
                self.models[0].extend(bytes);
            }
            Step::Write(len) => {
                let bytes = self.fresh(len);
                assert_eq!(self.chains[0].write(&bytes).unwrap(), len);
                self.models[0].extend(bytes);
            }
            Step::Reserve { asked, part } => self.reserve(asked, part),
            Step::ReserveAndForget(asked) => {
                let asked = asked.min(self.chains[0].block_max());
                self.chains[0].reserve(asked).unwrap();
            }
            Step::CloseTail => {
                self.chains[0].close_tail();
                assert_eq!(self.chains[0].tail_spare(), 0);
            }
            Step::PushPlain(len) => {
                let block = self.block_of(len);
                self.push(block);
            }
            Step::PushWrapped(len) => {
                let mut block = self.block_of(len);
                seal(&mut block);
                self.push(block);
                assert_eq!(self.chains[0].tail_spare(), 0);
            }
            Step::Pop => {
                self.pop();
            }
            Step::SealFrontToOther => self.seal_front_to_other(),
            Step::ResendFrontToOther => self.resend_front_to_other(),
            Step::Append => {
                let [first, second] = &mut self.chains;
                first.append(second);
                let moved = std::mem::take(&mut self.models[1]);
                self.models[0].extend(moved);
            }
            Step::Swap => {
                self.chains.swap(0, 1);
                self.models.swap(0, 1);
            }
            Step::Advance(part) => {
                let len = self.chains[0].len() * part / 256;
                self.chains[0].advance(len);
                self.models[0].drain(..len);
            }
            Step::BlockMax(payload_max) => self.chains[0].set_block_max(payload_max),
            Step::Clear => {
                self.chains[0].clear();
                self.models[0].clear();
            }
            Step::Park => self.chains[0].park(),
        }
    }

    fn reserve(&mut self, asked: usize, part: usize) {
        let asked = asked.min(self.chains[0].block_max());
        let lent = self.chains[0].reserve(asked).unwrap().len();
        assert!(lent >= asked);
        let bytes = self.fresh(lent * part / 256);
        self.chains[0].reserve(asked).unwrap()[..bytes.len()].copy_from_slice(&bytes);
        self.chains[0].commit(bytes.len());
        self.models[0].extend(bytes);
    }

    fn push(&mut self, block: Block) {
        self.models[0].extend(block.bytes());
        self.chains[0].push_block(block);
    }

    fn pop(&mut self) -> Option<Block> {
        let front = self.chains[0].front().map(|block| block.bytes().to_vec());
        let block = self.chains[0].pop_block();
        assert_eq!(block.as_ref().map(|block| block.bytes().to_vec()), front);
        let gone = self.models[0].drain(..block.as_ref().map_or(0, Block::len));
        assert_eq!(front.unwrap_or_default(), gone.collect::<Vec<_>>());
        block
    }

    fn seal_front_to_other(&mut self) {
        let Some(mut block) = self.pop() else { return };
        // One that was wrapped already has no room left and moves as it is.
        if block.len() <= PAYLOAD && block.spare() > 0 {
            seal(&mut block);
        }
        self.models[1].extend(block.bytes());
        self.chains[1].push_block(block);
    }

    fn resend_front_to_other(&mut self) {
        let Some(plain) = self.pop() else { return };
        if plain.len() <= PAYLOAD {
            let before = plain.bytes().to_vec();
            let mut copy = self.pool.acquire().unwrap();
            copy.copy_payload_from(&plain);
            seal(&mut copy);
            assert_eq!(plain.bytes(), before);
            self.models[1].extend(copy.bytes());
            self.chains[1].push_block(copy);
        }
    }

    fn compare(&self) {
        for (chain, model) in self.chains.iter().zip(&self.models) {
            chain.invariants();
            assert_eq!((chain.len(), chain.is_empty()), (model.len(), model.is_empty()));
            let mut slices = vec![IoSlice::new(&[]); chain.blocks() + 1];
            assert_eq!(chain.io_slices(&mut slices), chain.blocks());
            assert_eq!(slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<_>>(), *model);
            assert!(slices[..chain.blocks()].iter().all(|slice| !slice.is_empty()));
            // As few slices as the caller has room for, and always the first ones.
            let mut first = [IoSlice::new(&[]); 1];
            assert_eq!(chain.io_slices(&mut first), chain.blocks().min(1));
            assert!(model.starts_with(&first[0]));
        }
    }
}

/// What stands for sealing here: a header in front, the body changed in place, a tag behind.
fn seal(block: &mut Block) {
    let plain = block.bytes().to_vec();
    let wrapped = block.wrap(HEAD, TAIL);
    assert_eq!(wrapped.body, plain);
    wrapped.head.copy_from_slice(b"head");
    wrapped.body.iter_mut().for_each(|byte| *byte ^= 0xFF);
    wrapped.tail.fill(b't');
    let sealed: Vec<u8> = plain.iter().map(|byte| byte ^ 0xFF).collect();
    assert_eq!(block.bytes(), [b"head", &sealed[..], &[b't'; TAIL]].concat());
    assert_eq!(block.spare(), 0);
}

proptest! {
    #![proptest_config(cases::config())]

    #[test]
    fn two_chains_behave_as_two_vectors(steps in proptest::collection::vec(step(), 0..80)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.apply(step);
            pair.compare();
        }
        let Pair { pool, chains, .. } = pair;
        drop(chains);
        let stats = pool.stats();
        prop_assert_eq!((stats.in_use, stats.in_use_bytes), (0, 0));
        prop_assert_eq!((stats.allocated, stats.refused), (stats.free as u64, 0));
    }

    /// The same bytes lie in the same blocks, however they were cut when they were written.
    #[test]
    fn blocks_are_filled_whatever_the_pieces(
        pieces in proptest::collection::vec(0..3 * PAYLOAD, 0..20),
        block_max in 1..=PAYLOAD,
    ) {
        let pool = Pair::new().pool;
        let mut chain = SendBuffer::with_block_max(&pool, block_max);
        for piece in &pieces {
            chain.extend_from_slice(&vec![1; *piece]).unwrap();
        }
        let whole: usize = pieces.iter().sum();
        prop_assert_eq!(chain.blocks(), whole.div_ceil(block_max));
        for left in (1..=chain.blocks()).rev() {
            let block = chain.pop_block().unwrap();
            prop_assert!(block.len() == block_max || left == 1);
        }
    }

    #[test]
    fn an_append_that_is_refused_appends_nothing(
        before in 0..3 * PAYLOAD,
        more in 0..6 * PAYLOAD,
    ) {
        let pool = BlockPool::new(BlockPoolConfig {
            payload: PAYLOAD,
            blocks_max: 4,
            ..BlockPoolConfig::messages()
        });
        let mut chain = SendBuffer::new(&pool);
        chain.extend_from_slice(&vec![1; before]).unwrap();
        let (blocks, spare) = (chain.blocks(), chain.tail_spare());
        if chain.extend_from_slice(&vec![2; more]).is_err() {
            prop_assert!(before + more > 4 * PAYLOAD);
            prop_assert_eq!((chain.len(), chain.blocks(), chain.tail_spare()),
                (before, blocks, spare));
            prop_assert_eq!(pool.stats().in_use, blocks);
        } else {
            prop_assert!(before + more <= 4 * PAYLOAD);
        }
        chain.invariants();
    }
}
