use super::*;
use crate::packet::tests::hex;

const Y2017: Dialect = Dialect::Y2017;

fn unpress(wanted: &[Compression], inner: &[u8], max: u64) -> Result<Vec<u8>, &'static str> {
    match Unpress::new(wanted.to_vec(), max).open(Y2017, inner)? {
        Unpressed::Plain => Ok(inner.to_vec()),
        Unpressed::Message(message) => Ok(message.to_vec()),
    }
}

fn press(chain: &[Compression], body: &[u8]) -> Vec<u8> {
    let press = Press::new(chain.to_vec(), 1, 1 << 20);
    press.press(Y2017, 111, [body, &[]]).expect("it becomes shorter").bytes().to_vec()
}

fn plain(body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    extend_with_message(Y2017, 111, [body, &[]], &mut message);
    message
}

//= docs/PROTOCOL.md#11
#[test]
fn what_running_peers_have_compressed_is_read() {
    let message = plain(b"aaaaa");
    let gzip =
        hex("d82e58241f8b08000000000004ff001000efffd82bbfd82c186fd82d456161616161ff000000ffff");
    assert_eq!(unpress(&[Compression::Gzip], &gzip, 4096).unwrap(), message);
    let lzw = hex("d82f5200b1adf8858d058637d85a1409c390e1bf80");
    assert_eq!(unpress(&[Compression::Lzw], &lzw, 4096).unwrap(), message);
}

#[test]
fn lzw_is_byte_for_byte_that_of_running_peers() {
    let mut packed = Vec::new();
    lzw::Packer::new().pack(&plain(b"aaaaa"), &mut packed);
    assert_eq!(packed, hex("00b1adf8858d058637d85a1409c390e1bf80"));
}

#[test]
fn gzip_is_flushed_and_never_finished() {
    let pressed = press(&[Compression::Gzip], &[b'a'; 500]);
    let content = layer_content(&pressed, 2).unwrap();
    assert_eq!(content[..10], hex("1f8b08000000000004ff"));
    assert!(content.ends_with(&[0, 0, 0xff, 0xff]), "{content:02x?}");
    // A reader that insists on an end finds none.
    let mut inflate = flate2::Decompress::new(false);
    let mut out = Vec::with_capacity(4096);
    let status = inflate.decompress_vec(&content[10..], &mut out, flate2::FlushDecompress::None);
    assert_eq!((status.unwrap(), out), (flate2::Status::Ok, plain(&[b'a'; 500])));
}

//= docs/PROTOCOL.md#11
#[test]
fn layers_nest_in_the_order_that_was_asked_for() {
    let (gzip, lzw) = (Compression::Gzip, Compression::Lzw);
    let body = [b'a'; 3000];
    for (chain, outermost) in
        [(&[gzip][..], 46), (&[lzw], 47), (&[lzw, gzip], 46), (&[gzip, lzw], 47)]
    {
        let pressed = press(chain, &body);
        assert_eq!(pressed[..2], [0xd8, outermost], "{chain:?}");
        assert_eq!(unpress(&[gzip, lzw], &pressed, 1 << 16).unwrap(), plain(&body), "{chain:?}");
    }
}

#[test]
fn what_would_not_become_shorter_or_not_fit_goes_plain() {
    let press = Press::new(vec![Compression::Gzip], 1, 1000);
    assert!(press.press(Y2017, 111, [b"aaaaa", &[]]).is_none());
    assert!(press.press(Y2017, 111, [&[b'a'; 1000], &[]]).is_none());
    assert!(press.press(Y2017, 111, [&[b'a'; 900], &[]]).is_some());
    let press = Press::new(vec![Compression::Gzip], 1, 1 << 20);
    assert!(press.press(Y2017, 111, [&[b'a'; GZIP_PLAIN_MAX], &[]]).is_none());
    assert!(press.press(Y2017, 111, [&[b'a'; GZIP_PLAIN_MAX - 40], &[]]).is_some());
}

#[test]
fn a_finished_stream_is_read_and_its_checksum_counts() {
    let message = plain(b"hello");
    let mut content = hex("1f8b08180000000000ff");
    content.extend_from_slice(b"name\0comment\0");
    let mut deflate = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut packed = Vec::with_capacity(4096);
    deflate.compress_vec(&message, &mut packed, flate2::FlushCompress::Finish).unwrap();
    content.extend_from_slice(&packed);
    let mut crc = flate2::Crc::new();
    crc.update(&message);
    content.extend_from_slice(&crc.sum().to_le_bytes());
    content.extend_from_slice(&crc.amount().to_le_bytes());
    let layer = |content: &[u8]| {
        [&[0xd8, 46, 0x58, u8::try_from(content.len()).unwrap()], content].concat()
    };
    assert_eq!(unpress(&[Compression::Gzip], &layer(&content), 4096).unwrap(), message);
    for at in [0, 2, 30, content.len() - 8, content.len() - 1] {
        let mut bad = content.clone();
        bad[at] ^= 1;
        assert!(unpress(&[Compression::Gzip], &layer(&bad), 4096).is_err(), "byte {at}");
    }
    for len in 0..content.len() {
        let cut = unpress(&[Compression::Gzip], &layer(&content[..len]), 4096);
        assert!(cut.is_err(), "{len}");
    }
}

//= docs/PROTOCOL.md#11
#[test]
fn a_bomb_is_stopped_at_the_size_of_our_buffer() {
    for compression in [Compression::Gzip, Compression::Lzw] {
        let mut packed = Vec::new();
        let zeros = vec![0; 8 << 20];
        match compression {
            Compression::Gzip => gzip::Packer::new(9).pack(&zeros, &mut packed),
            Compression::Lzw => lzw::Packer::new().pack(&zeros, &mut packed),
        }
        let mut head = [0; 9];
        let len = put_head(&mut head, major::BYTES, packed.len() as u64);
        let layer = [&[0xd8, compression.tag(Y2017.tags())][..], &head[..len], &packed].concat();
        let mut unpress = Unpress::new(vec![compression], 4096);
        let Err(rule) = unpress.open(Y2017, &layer) else { panic!("{compression:?}") };
        assert!(rule.contains("longer than our buffer"), "{rule}");
        assert!(unpress.unpacked.capacity() < 64 * 1024, "{}", unpress.unpacked.capacity());
    }
}

//= docs/PROTOCOL.md#11
#[test]
fn nested_tags_end_at_the_limit_and_unwanted_ones_at_once() {
    let mut layer = plain(&[b'a'; 100]);
    for nested in 0..=NESTED_MAX + 1 {
        let opened = unpress(&[Compression::Lzw], &layer, 1 << 16);
        assert_eq!(opened.is_ok(), nested <= NESTED_MAX, "{nested}");
        let mut packed = Vec::new();
        lzw::Packer::new().pack(&layer, &mut packed);
        let mut head = [0; 9];
        let len = put_head(&mut head, major::BYTES, packed.len() as u64);
        layer = [&[0xd8, 47][..], &head[..len], &packed].concat();
    }
    let gzip = press(&[Compression::Gzip], &[b'a'; 500]);
    assert!(unpress(&[Compression::Lzw], &gzip, 4096).unwrap_err().contains("not asked for"));
    let unknown = [&[0xd8, 99, 0x41], &[0][..]].concat();
    assert!(unpress(&[Compression::Lzw], &unknown, 4096).unwrap_err().contains("not asked for"));
}

#[test]
fn what_a_long_message_needed_is_not_kept() {
    let press = Press::new(vec![Compression::Lzw], 1, 1 << 30);
    let long = vec![b'a'; 4 << 20];
    for body in [&long[..], b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let pressed = press.press(Y2017, 111, [body, &[]]).unwrap();
        press.give_back(pressed);
        let kept = press.kept.lock().unwrap();
        assert_eq!(kept.len(), 1);
        let capacity = kept[0].layer.capacity().max(kept[0].packed.capacity());
        assert!(capacity <= SCRATCH_BYTES_KEPT_MAX, "{capacity} bytes");
        assert_eq!(kept[0].layer.capacity() > 0, body.len() < 100, "that of short ones is");
    }
    press.park();
    assert_eq!(press.kept.lock().unwrap().capacity(), 0);
    let [long, short] = [&long[..], &[b'a'; 100]].map(|body| {
        let pressed = press.press(Y2017, 111, [body, &[]]).unwrap();
        pressed.bytes().to_vec()
    });
    let mut unpress = Unpress::new(vec![Compression::Lzw], 1 << 30);
    for layer in [long, short] {
        assert!(unpress.open(Y2017, &layer).is_ok());
    }
    let capacity = unpress.layer.capacity() + unpress.unpacked.capacity();
    assert!(capacity <= 2 * SCRATCH_BYTES_KEPT_MAX, "{capacity} bytes");
}
