//! Every form of `register_message!`, and what the registry of a process makes of them.

#![forbid(unsafe_code)]

use moorline_protocol::{
    Format, Message, MessageFamily, MessageIndex, MessageRegistry, NoError, Request, StreamMessage,
    register_message,
};
use serde::{Deserialize, Serialize};

/// Short for plain types with nothing of interest inside.
macro_rules! plain {
    ($($name:ident)+) => {
        $(#[derive(Debug, PartialEq, Serialize, Deserialize)] struct $name;)+
    };
}

plain!(Plain Named HotPlain HotNamed Ask AskNamed AskHot AskError AskNamedError Answer Failure);
plain!(Stream StreamNamed StreamHot StreamHotNamed Up Down Item);

mod inner {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    pub(super) struct Deep;

    #[derive(Serialize, Deserialize)]
    pub(super) struct Talk<'a>(&'a str);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Chat<'a> {
    from: u32,
    #[serde(borrow)]
    text: &'a str,
    picture: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct View<'a>(&'a str);

#[derive(Serialize, Deserialize)]
struct Query<'a>(&'a str);

#[derive(Serialize, Deserialize)]
struct Watch<'a>(&'a str);

#[derive(Serialize, Deserialize)]
struct WatchNamed<'a>(&'a str);

#[derive(Serialize, Deserialize)]
struct Wrapper<T>(T);

register_message!(Plain);
register_message!(Named as "game.Named");
register_message!(hot HotPlain);
register_message!(hot HotNamed as "game.HotNamed");
register_message!(Ask => Answer);
register_message!(AskNamed as "game.Ask" => Answer);
register_message!(hot AskHot => Vec<Answer>);
register_message!(AskError => Answer, Failure);
register_message!(AskNamedError as "game.AskError" => (), Failure);
register_message!(Chat<'_> as "game.Chat");
register_message!(View<'_>);
register_message!(hot Query<'_> as "game.Query" => Answer, Failure);
register_message!(inner::Deep);
register_message!(inner::Talk<'_>);
register_message!(Wrapper<Vec<u8>> as "game.WrappedBytes");
register_message!(Wrapper<(u8, Option<Item>)> as "game.WrappedPair" => Wrapper<u8>);
register_message!(stream Stream: () => Item);
register_message!(stream StreamNamed as "game.Stream": Up => Down);
register_message!(hot stream StreamHot: Vec<u8> => Item);
register_message!(hot stream StreamHotNamed as "game.StreamHot": Up => ());
register_message!(stream Watch<'_>: () => Item);
register_message!(stream WatchNamed<'_> as "game.Watch": () => Item);

/// Names of all registrations above, as the registry must number them.
const HOT: [&str; 6] =
    ["AskHot", "HotPlain", "StreamHot", "game.HotNamed", "game.Query", "game.StreamHot"];
const OTHERS: [&str; 16] = [
    "Ask",
    "AskError",
    "Deep",
    "Plain",
    "Stream",
    "Talk",
    "View",
    "Watch",
    "game.Ask",
    "game.AskError",
    "game.Chat",
    "game.Named",
    "game.Stream",
    "game.Watch",
    "game.WrappedBytes",
    "game.WrappedPair",
];

//= docs/PROTOCOL.md#4
#[test]
fn hot_types_come_first_and_the_rest_by_name() {
    let registry = MessageRegistry::process().unwrap();
    let names: Vec<_> =
        (0..22).map(|position| registry.name_of(MessageIndex::new(position)).unwrap()).collect();
    assert_eq!(names, [&HOT[..], &OTHERS].concat());
}

#[test]
fn each_type_is_found_by_itself_and_by_its_hash() {
    fn check<M: Message>(name: &str, hot: bool) {
        let registry = MessageRegistry::process().unwrap();
        let index = registry.index_of::<M>().unwrap();
        assert_eq!(registry.name_of(index), Some(name));
        assert_eq!(registry.register::<M>(), Ok(index));
        let registration = M::registration();
        assert_eq!(registration.name(), name);
        assert_eq!(registration.hot(), hot);
        assert!(registration.file().ends_with("tests/registration.rs"), "{registration:?}");
        assert_eq!(registry.find(registration.hash()), Some(index));
        assert_eq!(registry.hash_of(index), Some(registration.hash()));
    }
    check::<Plain>("Plain", false);
    check::<Named>("game.Named", false);
    check::<HotPlain>("HotPlain", true);
    check::<HotNamed>("game.HotNamed", true);
    check::<Ask>("Ask", false);
    check::<Chat<'_>>("game.Chat", false);
    check::<View<'_>>("View", false);
    check::<Query<'_>>("game.Query", true);
    check::<inner::Deep>("Deep", false);
    check::<inner::Talk<'_>>("Talk", false);
    check::<Wrapper<Vec<u8>>>("game.WrappedBytes", false);
    check::<StreamHot>("StreamHot", true);
    check::<WatchNamed<'_>>("game.Watch", false);
}

#[test]
fn a_line_number_is_that_of_the_registration() {
    let source = include_str!("registration.rs");
    let line = usize::try_from(Plain::registration().line()).unwrap();
    assert_eq!(source.lines().nth(line - 1), Some("register_message!(Plain);"));
}

#[test]
fn answers_and_errors_are_those_that_were_named() {
    fn check<R, Response, Error>()
    where
        R: Request<Response = Response, Error = Error>,
    {
    }
    check::<Ask, Answer, NoError>();
    check::<AskNamed, Answer, NoError>();
    check::<AskHot, Vec<Answer>, NoError>();
    check::<AskError, Answer, Failure>();
    check::<AskNamedError, (), Failure>();
    check::<Query<'_>, Answer, Failure>();
    check::<Wrapper<(u8, Option<Item>)>, Wrapper<u8>, NoError>();
}

#[test]
fn both_directions_of_a_stream_are_those_that_were_named() {
    fn check<S, Up, Down>()
    where
        S: StreamMessage<Up = Up, Down = Down>,
    {
    }
    check::<Stream, (), Item>();
    check::<StreamNamed, Up, Down>();
    check::<StreamHot, Vec<u8>, Item>();
    check::<StreamHotNamed, Up, ()>();
    check::<Watch<'_>, (), Item>();
    check::<WatchNamed<'_>, (), Item>();
}

/// What a handler table does with a family: one closure for all lifetimes.
fn dispatch<F: MessageFamily>(
    body: &[u8],
    handler: impl for<'a> Fn(F::View<'a>) -> usize,
) -> usize {
    handler(Format::MessagePack.decode(body).expect("the body is of this family"))
}

#[test]
fn a_handler_for_a_family_sees_borrowed_messages() {
    let chat = Chat { from: 7, text: "hello", picture: &[0xFF, 0, 1] };
    let mut body = Vec::new();
    Format::MessagePack.encode(&chat, &mut body).unwrap();
    let range = body.as_ptr_range();
    let seen = dispatch::<Chat<'static>>(&body, |received: Chat<'_>| {
        assert_eq!(received, chat);
        assert!(range.contains(&received.text.as_ptr()));
        assert!(range.contains(&received.picture.as_ptr()));
        received.text.len()
    });
    assert_eq!(seen, 5);
}

#[test]
fn a_type_that_owns_all_is_its_own_family() {
    let mut body = Vec::new();
    Format::MessagePack.encode(&Wrapper(vec![1_u8, 200, 3]), &mut body).unwrap();
    let seen = dispatch::<Wrapper<Vec<u8>>>(&body, |wrapper| wrapper.0.len());
    assert_eq!(seen, 3);
}

#[test]
fn a_registry_of_its_own_numbers_at_first_use() {
    let registry = MessageRegistry::empty();
    assert_eq!(registry.index_of::<Named>(), Ok(MessageIndex::new(0)));
    assert_eq!(registry.index_of::<Plain>(), Ok(MessageIndex::new(1)));
    assert_eq!(registry.index_of::<Named>(), Ok(MessageIndex::new(0)));
    assert_eq!(registry.len(), 2);
    let process = MessageRegistry::process().unwrap();
    assert_ne!(process.index_of::<Named>(), Ok(MessageIndex::new(0)), "numbers do not mix");
}

#[test]
fn a_type_the_linker_dropped_is_added_at_first_use() {
    // Inventory is not asked here: the hand-written registration is what a dropped crate leaves.
    static DROPPED: moorline_protocol::Registration =
        moorline_protocol::Registration::new("dropped", true, "elsewhere.rs", 9);
    #[derive(Serialize)]
    struct Dropped;
    impl Message for Dropped {
        fn registration() -> &'static moorline_protocol::Registration {
            &DROPPED
        }
    }
    let process = MessageRegistry::process().unwrap();
    assert_eq!(process.find(DROPPED.hash()), None);
    let index = process.index_of::<Dropped>().unwrap();
    assert_eq!(index, MessageIndex::new(22), "behind all others: no number ever changes");
    assert_eq!(process.index_of::<Dropped>(), Ok(index));
    assert_eq!(MessageRegistry::process().unwrap().name_of(index), Some("dropped"));
}

#[test]
fn threads_that_use_a_type_first_at_once_agree_on_its_number() {
    let registry = MessageRegistry::empty();
    let indices: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let registry = &registry;
                scope.spawn(move || {
                    if number % 2 == 0 {
                        registry.index_of::<Plain>().unwrap();
                    }
                    registry.index_of::<Named>().unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(indices.iter().all(|index| *index == indices[0]));
    assert_eq!(registry.len(), 2);
}

moorline_protocol::link!(rmp_serde, serde);
