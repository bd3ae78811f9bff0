//! What is particular to Unix sockets: their files, and whom the system says they are used by.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Barrier;

use moorline_service::transport::Refused;
use moorline_service::transport::uds::Uds;

use super::*;

fn path(place: &Place) -> PathBuf {
    PathBuf::from(place.address.authority())
}

#[tokio::test]
async fn a_missing_folder_is_made_for_the_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    let place = Place::new(&format!("uds://{}/socket", inner.display()), None);
    let _listener = place.listen().await.unwrap();
    for made in [folder.path().join("a"), inner] {
        assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[tokio::test]
async fn a_stale_file_is_replaced() {
    let place = Place::uds();
    // The standard library leaves the file behind, like a process that was killed.
    drop(UnixListener::bind(path(&place)).unwrap());
    assert!(path(&place).exists());
    let (_listener, dialed, mut accepted) = in_time(place.pair()).await;
    write_all(&*dialed.writer, b"x").await;
    assert_eq!(read_exact(&mut *accepted.reader, 1).await, b"x");
}

#[tokio::test]
async fn the_live_file_of_another_is_left_alone() {
    let place = Place::uds();
    let other = UnixListener::bind(path(&place)).unwrap();
    let refused = place.listen().await.err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    assert!(refused.to_string().contains("somebody listens there already"), "{refused}");
    #[cfg(target_os = "linux")]
    assert!(refused.to_string().contains(&format!("pid {}, ", std::process::id())), "{refused}");
    // The look at it was a connection of its own; the next one is ours.
    let _dialed = place.connect(&place.address).await.unwrap();
    other.accept().unwrap();
    other.accept().unwrap();
}

#[tokio::test]
async fn a_listener_too_busy_to_answer_is_live() {
    let place = Place::uds();
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(path(&place)).unwrap();
    let busy = socket.listen(1).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::net::UnixStream::connect(path(&place)).await {
        waiting.push(stream);
    }
    let refused = place.listen().await.err().unwrap();
    assert!(refused.to_string().contains("somebody listens there already"), "{refused}");

    // And who dials waits for its turn.
    let mut dialing = std::pin::pin!(place.connect(&place.address));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut dialing).await;
    assert!(early.is_err());
    busy.accept().await.unwrap();
    in_time(dialing).await.unwrap();
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let place = Place::uds();
    fs::write(path(&place), "precious").unwrap();
    let refused = place.listen().await.err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    assert!(refused.to_string().contains("no socket"), "{refused}");
    assert_eq!(fs::read(path(&place)).unwrap(), b"precious");

    // Nor is a link followed to a socket that nobody listens at.
    let stale = path(&place).with_file_name("stale");
    drop(UnixListener::bind(&stale).unwrap());
    fs::remove_file(path(&place)).unwrap();
    std::os::unix::fs::symlink(&stale, path(&place)).unwrap();
    let refused = place.listen().await.err().unwrap();
    assert!(refused.to_string().contains("no socket"), "{refused}");
    assert!(fs::symlink_metadata(stale).unwrap().file_type().is_socket());
}

#[tokio::test]
async fn a_listener_takes_its_own_file_along_and_no_other() {
    let place = Place::uds();
    drop(place.listen().await.unwrap());
    assert!(!path(&place).exists());

    let first = place.listen().await.unwrap();
    fs::remove_file(path(&place)).unwrap();
    let mut second = place.listen().await.unwrap();
    drop(first);
    let dialed = place.connect(&place.address).await.unwrap();
    write_all(&*dialed.writer, b"x").await;
    let mut accepted = in_time(accept(&mut *second)).await.unwrap();
    assert_eq!(read_exact(&mut *accepted.reader, 1).await, b"x");
}

#[test]
fn of_many_that_find_a_stale_file_one_gets_the_place() {
    for _ in 0..200 {
        let place = Place::uds();
        drop(UnixListener::bind(path(&place)).unwrap());
        one_of_them_gets_it::<4>(&place);
    }
}

#[test]
fn of_twenty_that_start_at_once_one_gets_the_place() {
    for found in ["nothing", "a stale file", "no folder"] {
        let mut place = Place::uds();
        match found {
            "a stale file" => drop(UnixListener::bind(path(&place)).unwrap()),
            "no folder" => {
                let authority = format!("{}-folder/socket", place.address.authority());
                place.address = place.address.clone().with_authority(&authority).unwrap();
            }
            _ => {}
        }
        one_of_them_gets_it::<20>(&place);
    }
}

/// Each on a thread and a runtime of its own, as processes would be.
fn one_of_them_gets_it<const N: usize>(place: &Place) {
    let all_are_here = Barrier::new(N);
    let try_it = || {
        run(in_time(async {
            all_are_here.wait();
            let listener = place.listen().await;
            all_are_here.wait();
            if listener.is_ok() {
                place.connect(&place.address).await.unwrap();
            }
            listener.is_ok()
        }))
    };
    let started = std::thread::scope(|scope| {
        [(); N].map(|()| scope.spawn(try_it)).map(|thread| thread.join().unwrap())
    });
    assert_eq!(started.iter().filter(|ok| **ok).count(), 1, "{started:?}");
}

#[tokio::test]
async fn processes_of_users_who_are_not_named_are_refused_by_reason() {
    let ours = own_uid();
    for (peers_of, allowed) in [
        (vec![ours], true),
        (vec![ours.wrapping_add(1), ours], true),
        (vec![ours.wrapping_add(1)], false),
        (vec![], false),
    ] {
        let mut place = Place::uds();
        let mut uds = Uds::default();
        uds.peers_of = Some(peers_of);
        place.transports.set(Arc::new(uds));
        let mut listener = place.listen().await.unwrap();
        let dialed = place.connect(&place.address).await.unwrap();
        let accepted = in_time(accept(&mut *listener)).await;
        let loose = place.connect(&place.address).await.unwrap();
        let also = in_time(poll_fn(|cx| listener.poll_accept_loose(cx))).await;
        if allowed {
            assert!(accepted.unwrap().peer.contains(&format!("uid {ours})")));
            assert!(also.unwrap().peer.contains(&format!("uid {ours})")));
            continue;
        }
        for error in [accepted.err().unwrap(), also.err().unwrap()] {
            let Refused { peer, cause, reason } = Refused::in_error(&error).unwrap();
            assert!(peer.contains(&format!("uid {ours})")), "{peer}");
            assert_eq!(*cause, "peers_of");
            let said =
                format!("a process of user {ours} may not connect here (knob: `Uds::peers_of`)");
            assert_eq!(&**reason, said);
        }
        for mut closed in [dialed, loose] {
            assert_eq!(in_time(read(&mut *closed.reader, &mut [0])).await.unwrap(), 0);
        }
    }
}

/// Whose files we make.
fn own_uid() -> u32 {
    tempfile::tempdir().unwrap().path().metadata().unwrap().uid()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

#[tokio::test]
async fn the_peer_is_named_by_path_process_and_user() {
    let place = Place::uds();
    let (_listener, dialed, accepted) = in_time(place.pair()).await;
    for peer in [dialed.peer, accepted.peer] {
        assert!(peer.starts_with(&format!("{} (", place.address)), "{peer}");
        #[cfg(target_os = "linux")]
        assert!(peer.contains(&format!("pid {}, uid ", std::process::id())), "{peer}");
    }
}

#[tokio::test]
async fn a_path_too_long_for_the_system_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("uds://{}/{}", folder.path().display(), "x".repeat(200));
    let place = Place::new(&long, Some(folder));
    let refused = place.listen().await.err().unwrap();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
}
