//! Services that start and stop again and again in one process. Alone in its file, because it counts
//! what the whole process has.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(target_os = "linux")]

mod support;

use support::{Ask, Told, Wire, run, within};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Tasks that live on this runtime.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_hundred_starts_and_stops_leave_nothing_behind() {
    run(async {
        let mut baseline = None;
        let mut resident = 0;
        for cycle in 0..100 {
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
            // A task that has said its last word is alive for a moment longer.
            within(async {
                while tasks() > 0 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            // What a process opens once, it has opened by now.
            let now = descriptors();
            assert_eq!(*baseline.get_or_insert(now), now, "cycle {cycle}");
            // The allocator and the runtime keep what they have had once, so it is not looked at before
            // they have had it.
            if cycle == 50 {
                resident = resident_kib();
            }
        }
        // 250 services, each with a session: one kept whole would show as megabytes.
        let grown = resident_kib().saturating_sub(resident);
        assert!(grown < 4 * 1024, "{grown} KiB more than after half of it");
    });
}
