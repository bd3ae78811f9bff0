//! Services that start and stop again and again in one process. Alone in its file, because it counts
//! the descriptors of the whole process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(target_os = "linux")]

mod support;

use support::{Ask, Told, Wire, run, within};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn twenty_starts_and_stops_leave_no_descriptor_behind() {
    run(async {
        let mut baseline = None;
        for cycle in 0..20 {
            for (scheme, protocol) in [
                ("tcp", "msgpack"),
                ("uds", "msgpack"),
                ("mem", "msgpack"),
                ("tcp", "msgpack-plain"),
                ("uds", "msgpack-plain"),
            ] {
                let wire = Wire::new(scheme, protocol);
                let (server, client) = (wire.service(), wire.service());
                server.handle_now(|_, ask: Ask| Ok(Told { number: ask.number }));
                let pair = wire.open(&server, &client).await;
                let number = within(pair.here.request(Ask { number: cycle })).await.unwrap().number;
                assert_eq!(number, cycle);
                // By turns the one and the other side goes first.
                if cycle % 2 == 0 {
                    within(server.shutdown()).await.unwrap();
                }
                pair.end().await;
            }
            // What a process opens once, it has opened by now.
            let now = descriptors();
            assert_eq!(*baseline.get_or_insert(now), now, "cycle {cycle}");
        }
    });
}
