//! Every state against everything that may happen in it: a table, and walks at random.

use proptest::prelude::*;

use super::*;

const STEADY: Duration = Duration::from_secs(10);

fn farewell() -> Farewell {
    Farewell::ordinary()
}

fn by_us() -> CloseReason {
    CloseReason::ByUs(farewell())
}

fn lost() -> Input {
    Input::Lost(CloseReason::Truncated)
}

/// The states of the table, each with the way there.
const STATES: [&str; 9] = [
    "connecting",
    "up",
    "undecided",
    "waiting",
    "down until reset",
    "draining",
    "resetting",
    "closing",
    "closed",
];

fn machine_in(state: &str, now: Instant) -> Machine {
    let way: &[Input] = match state {
        "connecting" => &[],
        "up" => &[Input::Up],
        "undecided" => &[Input::Up, lost()],
        "waiting" => &[Input::Up, lost(), Input::Decided(Some(Duration::from_secs(1)))],
        "down until reset" => &[Input::Up, lost(), Input::Decided(None)],
        "draining" => &[Input::Up, Input::PeerDrains],
        "resetting" => &[Input::Up, Input::Reset],
        "closing" => &[Input::Up, Input::Close(farewell())],
        "closed" => &[Input::Up, Input::Close(farewell()), lost()],
        _ => unreachable!("the table has no such state"),
    };
    let mut machine = Machine::new(STEADY);
    for input in way {
        machine.handle(now, input.clone());
    }
    machine
}

fn short(state: &ClientState) -> &'static str {
    match state {
        ClientState::Connecting { attempt: 0 } => "connecting anew",
        ClientState::Connecting { .. } => "connecting",
        ClientState::Up { .. } => "up",
        ClientState::BackOff { .. } => "back-off",
        ClientState::Draining => "draining",
        ClientState::Closed { .. } => "closed",
    }
}

/// What each state becomes, and what its session is told.
type Row = [(&'static str, Order); STATES.len()];

/// What a state becomes by an input, and what the session is told.
#[test]
fn each_state_takes_each_input() {
    let now = Instant::now();
    let close = || Order::Close(farewell());
    let no = || Order::Nothing;
    #[rustfmt::skip]
    let table: [(&str, Input, Row); 4] = [
        ("reset", Input::Reset, [
            ("connecting anew", no()), ("draining", Order::Cut), ("connecting anew", no()),
            ("connecting anew", no()), ("connecting anew", no()), ("draining", Order::Cut),
            ("draining", no()), ("draining", no()), ("closed", no()),
        ]),
        ("network_changed", Input::NetworkChanged, [
            ("connecting anew", no()), ("up", no()), ("connecting", no()),
            ("connecting", no()), ("back-off", no()), ("draining", no()),
            ("draining", no()), ("draining", no()), ("closed", no()),
        ]),
        ("close", Input::Close(farewell()), [
            ("draining", no()), ("draining", close()), ("closed", no()),
            ("closed", no()), ("closed", no()), ("draining", close()),
            ("draining", close()), ("draining", no()), ("closed", no()),
        ]),
        ("shutdown", Input::Shutdown, [
            ("draining", no()), ("draining", no()), ("closed", no()),
            ("closed", no()), ("closed", no()), ("draining", no()),
            ("draining", no()), ("draining", no()), ("closed", no()),
        ]),
    ];
    for (name, input, row) in table {
        for (from, (to, order)) in STATES.into_iter().zip(row) {
            let mut machine = machine_in(from, now);
            assert_eq!(machine.handle(now, input.clone()), order, "{name} in {from}");
            assert_eq!(short(&machine.state()), to, "{name} in {from}");
        }
    }
}

#[test]
fn a_session_that_ends_leads_where_it_was_drained_for() {
    let now = Instant::now();
    for (from, to) in [
        ("up", "back-off"),
        ("draining", "back-off"),
        ("resetting", "connecting anew"),
        ("closing", "closed"),
    ] {
        let mut machine = machine_in(from, now);
        machine.handle(now, lost());
        assert_eq!(short(&machine.state()), to, "lost in {from}");
    }
    let mut machine = machine_in("draining", now);
    machine.handle(now, Input::NetworkChanged);
    machine.handle(now, lost());
    assert_eq!(short(&machine.state()), "connecting anew", "it need not wait");
}

#[test]
fn who_closes_while_it_dials_ends_with_or_without_a_session() {
    let now = Instant::now();
    for given_up in [Input::DialStopped, Input::DialFailed(CloseReason::Truncated)] {
        let mut machine = machine_in("connecting", now);
        machine.handle(now, Input::Close(farewell()));
        assert_eq!(machine.wish(), Wish::StopDialing);
        machine.handle(now, given_up);
        assert_eq!(machine.wish(), Wish::Finish(by_us()));
    }
    let mut machine = machine_in("connecting", now);
    machine.handle(now, Input::Close(farewell()));
    assert_eq!(machine.handle(now, Input::Up), Order::Close(farewell()));
    assert_eq!(machine.wish(), Wish::Nothing, "the end of the session comes first");
    machine.handle(now, Input::Lost(by_us()));
    assert_eq!(machine.wish(), Wish::Finish(by_us()));
}

#[test]
fn whoever_is_stopped_is_closed_and_takes_no_session() {
    let now = Instant::now();
    for from in STATES {
        let mut machine = machine_in(from, now);
        machine.end(&by_us());
        assert!(matches!(machine.wish(), Wish::Finish(_)) && machine.is_over().is_some());
        assert_eq!(machine.handle(now, Input::Up), Order::Close(farewell()), "{from}");
        assert!(matches!(machine.state(), ClientState::Closed { .. }));
    }
}

#[test]
fn attempts_count_until_a_connection_has_lasted() {
    let start = Instant::now();
    let mut machine = Machine::new(STEADY);
    let wait = |machine: &mut Machine, now| {
        let Wish::Decide(attempt, _) = machine.wish() else { panic!("{:?}", machine.wish()) };
        machine.handle(now, Input::Decided(Some(Duration::ZERO)));
        machine.handle(now, Input::TimeUp);
        assert!(matches!(machine.state(), ClientState::Connecting { attempt: a } if a == attempt));
        attempt
    };
    machine.handle(start, Input::DialFailed(CloseReason::Truncated));
    assert_eq!(wait(&mut machine, start), 1);
    machine.handle(start, Input::DialFailed(CloseReason::Truncated));
    assert_eq!(wait(&mut machine, start), 2);
    machine.handle(start, Input::Up);
    machine.handle(start + STEADY / 2, lost());
    assert_eq!(wait(&mut machine, start + STEADY / 2), 3, "it was lost too soon to count");
    machine.handle(start, Input::Up);
    machine.handle(start + STEADY, lost());
    assert_eq!(wait(&mut machine, start + STEADY), 1);
}

#[test]
fn time_is_up_when_it_is_and_not_before() {
    let now = Instant::now();
    let mut machine = machine_in("waiting", now);
    let Wish::Sleep(until) = machine.wish() else { panic!("{:?}", machine.wish()) };
    machine.handle(until - Duration::from_nanos(1), Input::TimeUp);
    assert_eq!(machine.wish(), Wish::Sleep(until));
    machine.handle(until, Input::TimeUp);
    assert!(matches!(machine.wish(), Wish::Dial(_)));
    let mut machine = machine_in("undecided", now);
    machine.handle(now, Input::Decided(Some(Duration::MAX)));
    assert_eq!(machine.wish(), Wish::Nothing, "beyond all time is never");
}

#[test]
fn each_dialing_has_a_number_of_its_own() {
    let now = Instant::now();
    let mut machine = Machine::new(STEADY);
    let mut seen = vec![machine.wish()];
    for input in [Input::Reset, Input::NetworkChanged] {
        machine.handle(now, input);
        assert!(!seen.contains(&machine.wish()));
        seen.push(machine.wish());
    }
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        Just(Input::Up),
        Just(Input::DialFailed(CloseReason::Truncated)),
        Just(Input::DialStopped),
        Just(Input::PeerDrains),
        Just(lost()),
        (0..2_000_u64).prop_map(|ms| Input::Decided(Some(Duration::from_millis(ms)))),
        Just(Input::Decided(None)),
        Just(Input::TimeUp),
        Just(Input::Reset),
        Just(Input::NetworkChanged),
        Just(Input::Close(farewell())),
        Just(Input::Shutdown),
    ]
}

proptest! {
    /// Inputs as they can come: a session comes only of a dialing and ends once. Whatever is asked for
    /// in between, closed is the end, and until it is closed there is a way on.
    #[test]
    fn a_client_is_never_stuck(inputs in prop::collection::vec((any_input(), 0..3_000_u64), 0..60)) {
        let mut now = Instant::now();
        let mut machine = Machine::new(STEADY);
        let mut session = false;
        for (input, ms) in inputs {
            now += Duration::from_millis(ms);
            let dials = matches!(machine.wish(), Wish::Dial(_) | Wish::StopDialing);
            match &input {
                Input::Up | Input::DialFailed(_) | Input::DialStopped if !dials => continue,
                Input::Lost(_) | Input::PeerDrains if !session => continue,
                _ => {}
            }
            let was_over = matches!(machine.state(), ClientState::Closed { .. });
            let before = machine.state();
            session = match input {
                Input::Up => true,
                Input::Lost(_) => false,
                _ => session,
            };
            let order = machine.handle(now, input);
            prop_assert!(session || order == Order::Nothing, "only a session can be told something");
            prop_assert!(!was_over || machine.state() == before, "what is closed stays so");
            let waits_for_end = matches!(machine.state(), ClientState::Up { .. })
                || (machine.state() == ClientState::Draining && machine.wish() == Wish::Nothing);
            prop_assert_eq!(session, waits_for_end, "{:?}", machine.state());
        }
        // Whoever resets it and then lets it be gets a connection, unless it is over.
        machine.handle(now, Input::Reset);
        if session {
            machine.handle(now, lost());
        }
        let over = machine.is_over().is_some();
        prop_assert_eq!(matches!(machine.wish(), Wish::Dial(_)), !over);
    }
}
