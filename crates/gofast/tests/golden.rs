//! Bytes captured from running gofast peers, read by ours. Writing them is tested beside the code, in
//! `packet`, `whoami` and `compress`.
//= docs/PROTOCOL.md#11

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use moorline_gofast::{Dialect, GofastSettings};
use support::{Ours, REAL, hex};

/// Ours listens on a range that no captured frame uses.
fn met(dialect: Dialect) -> Ours {
    let settings = GofastSettings {
        tags: "gzip,lzw".into(),
        opaque_start: Some(10_000),
        ..GofastSettings::default()
    };
    Ours::met(dialect, settings, REAL)
}

fn heard(dialect: Dialect, vectors: &[(&str, &str, &str)]) {
    let mut ours = met(dialect);
    for (name, bytes, told) in vectors {
        let expected: Vec<&str> = if told.is_empty() { vec![] } else { vec![told] };
        assert_eq!(ours.hear(&hex(bytes)).unwrap(), expected, "{name}");
    }
    assert_eq!(ours.counts().n_dropped, 0);
}

#[test]
fn frames_of_2017() {
    heard(
        Dialect::Y2017,
        &[
            (
                "whoami, asked again",
                "d9d9f7815825da00027100581ed82bbfd82c191002d82d5206636c69656e740100000000000010000000ff",
                "ping 1",
            ),
            ("ping", "d9d9f7815819da0002710253d82bbfd82c191001d82d47000568656c6c6fff", "ping 2"),
            ("post", "d9d9f7c656da0002710350d82bbfd82c186fd82d456161616161ff", "post test.Note 5"),
            (
                "request",
                "d9d9f78156da0002710450d82bbfd82c1870d82d456161616161ff",
                "request 0 test.Ask 5",
            ),
            (
                "stream",
                "d9d9f79f56da0002710550d82bbfd82c1871d82d456161616161ff",
                "open 2 test.Talk 5",
            ),
            ("message", "d9d9f7c756da0002710550d82bbfd82c1871d82d456161616161ff", "data 2 5"),
            ("end", "d9d9f7c846da0002710540ff", "end 2 0"),
            (
                "heartbeat",
                "d9d9f7c6581ada0002710654d82bbfd82c191003d82d480000000000000000ff",
                "heartbeat 0",
            ),
            ("empty body", "d9d9f78151da000271014bd82bbfd82c1870d82d40ff", "request 1 test.Ask 0"),
            (
                "gzip",
                "d9d9f7c6582fda000271035828d82e58241f8b08000000000004ff001000efffd82bbfd82c186fd82d\
                 456161616161ff000000ffff",
                "post test.Note 5",
            ),
            (
                "lzw",
                "d9d9f7c6581bda0002710355d82f5200b1adf8858d058637d85a1409c390e1bf80",
                "post test.Note 5",
            ),
        ],
    );
}

#[test]
fn frames_of_2016() {
    heard(
        Dialect::Y2016,
        &[
            (
                "whoami, asked again",
                "d9d9f781581dd907d05818d825bf18270218284e9f46636c69656e740119040040ffff",
                "ping 1",
            ),
            ("ping", "d9d9f78153d907d14fd825bf1827011828459f426869ffff", "ping 2"),
            ("post", "d9d9f7c650d907d24cd825bf1827186f18284170ff", "post test.Note 1"),
            (
                "request, of an id that has no answer here",
                "d9d9f78154d907d350d825bf1827186f1828456162636465ff",
                "request 0 test.Note 5",
            ),
            ("stream", "d9d9f79f51d907d44dd825bf1827186f1828427330ff", "open 2 test.Note 2"),
            ("message", "d9d9f7c751d907d44dd825bf1827186f1828427331ff", "data 2 2"),
            ("end", "d9d9f7c844d907d4ff", "end 2 0"),
            ("heartbeat", "d9d9f7c651d907d54dd825bf1827031828439f00ffff", "heartbeat 0"),
        ],
    );
}

#[test]
fn the_answer_to_a_whoami_of_2017() {
    // We are the client of their server, on a range of opaques in which ours is theirs of then.
    let settings = GofastSettings {
        name: Some("client".into()),
        buffersize: Some(4096),
        extension: false,
        opaque_start: Some(159_900),
        opaque_end: Some(160_000),
        ..GofastSettings::default()
    };
    let limits = moorline_protocol::Settings::default();
    let mut ours = Ours::new(Dialect::Y2017, true, settings, limits);
    let asks = hex(
        "d9d9f7815825da00027100581ed82bbfd82c191002d82d5206636c69656e740100000000000010000000ff",
    );
    assert_eq!(ours.said(), asks, "byte for byte what their client says");
    let answer = "d9d9f7815827da000271005820d82bbfd82c191002d82d54087365727665722d300100000000000010\
                  000000ff";
    assert!(ours.hear(&hex(answer)).unwrap().is_empty());
    assert!(ours.opened.is_none(), "it has not asked yet");
    let asks = support::frame(
        Dialect::Y2017,
        0x81,
        1000,
        0x1002,
        &hex("087365727665722d300100000000000010000000"),
    );
    ours.hear(&asks).unwrap();
    assert_eq!(&*ours.opened.unwrap().peer.agent, "server-0/1");
}
