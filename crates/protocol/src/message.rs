//! What makes a plain serde struct a message: a name, and what is answered to it.

use std::fmt::{self, Debug};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::registry::Registration;

/// A type that can be sent. Made by [`register_message!`](crate::register_message), never by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no registered message",
    note = "register it beside its definition: `register_message!({Self});`, or with an answer \
            `register_message!({Self} => Answer);`"
)]
pub trait Message: Serialize {
    /// What was registered: one for the type, the same at every call.
    fn registration() -> &'static Registration;
}

/// A message that may borrow from the bytes it is read from: `Chat<'static>` stands for all
/// `Chat<'a>`. A type that borrows nothing is its own family.
///
/// With it a handler is written once for all lifetimes: `on_view::<Chat<'static>>(|cx, chat| ..)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no registered message",
    note = "register it beside its definition: `register_message!({Self});`, or with an answer \
            `register_message!({Self} => Answer);`"
)]
pub trait MessageFamily: 'static {
    /// The member of the family that borrows for `'a`.
    type View<'a>: Message + Deserialize<'a>;
}

/// A message that gets exactly one answer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is registered without an answer, or not at all",
    note = "a request is registered with what answers it: `register_message!({Self} => Answer);`"
)]
pub trait Request: Message {
    /// The good answer.
    type Response: Serialize + DeserializeOwned + Send + 'static;
    /// The application's own bad answer; [`NoError`] where none was named.
    type Error: Serialize + DeserializeOwned + Send + Debug + 'static;
}

/// A message that opens a stream.
pub trait StreamMessage: Message {
    /// What the side that opens the stream sends on it.
    type Up: Serialize + DeserializeOwned + Send + 'static;
    /// What the side that accepts the stream sends on it.
    type Down: Serialize + DeserializeOwned + Send + 'static;
}

/// The error of requests that name none. There is no value of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum NoError {}

impl Serialize for NoError {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match *self {}
    }
}

impl<'de> Deserialize<'de> for NoError {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("this request names no error of its own"))
    }
}

impl Debug for NoError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl fmt::Display for NoError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl std::error::Error for NoError {}

/// Registers a type as a message: gives it its name on the wire and a number in this process.
///
/// It stands outside of functions, beside the type, in the crate that has the type.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use moorline_protocol::register_message;
/// # #[derive(Serialize, Deserialize)] struct Move;
/// # #[derive(Serialize, Deserialize)] struct Chat<'a> { #[serde(borrow)] text: &'a str }
/// # #[derive(Serialize, Deserialize)] struct Hello;
/// # #[derive(Serialize, Deserialize)] struct Greeting;
/// # #[derive(Serialize, Deserialize)] struct Login;
/// # #[derive(Serialize, Deserialize)] struct LoginOk;
/// # #[derive(Debug, Serialize, Deserialize)] struct LoginErr;
/// # #[derive(Serialize, Deserialize)] struct Range;
/// # #[derive(Serialize, Deserialize)] struct Entry;
///
/// register_message!(hot Move as "game.Move");              // a post; `hot` ones get short numbers
/// register_message!(Chat<'_> as "game.Chat");              // borrowed on receive
/// register_message!(Hello => Greeting);                    // a request and its answer
/// register_message!(Login as "game.Login" => LoginOk, LoginErr); // with a typed error
/// register_message!(stream Range: () => Entry);            // a stream: what goes up, what comes down
/// # #[derive(Serialize, Deserialize)] struct Beat;
/// # #[derive(Serialize, Deserialize)] struct Ask;
/// register_message!(Beat as "game.Beat", id = 111);        // with a number, see below
/// register_message!(Ask, id = 112, answer = 113 => Greeting);
/// # fn main() {}
/// ```
///
/// Without `as` the name is the bare name of the type, without modules and lifetimes. Names are
/// for ever: a message that changes so that old readers break gets a new one (PROTOCOL 5).
///
/// `id` is for protocols whose peers know messages by numbers agreed on beforehand, such as gofast;
/// without one a message cannot be sent over these. An answer has the number of its request unless
/// `answer` gives it another. Numbers are for ever, too, and each type has one of its own.
///
/// A type with parameters other than one lifetime must be named; one with a lifetime must have
/// exactly one. Two types of one name are an error when the registry is first used.
#[macro_export]
macro_rules! register_message {
    (hot $($rest:tt)+) => { $crate::register_message!(@parse true; $($rest)+); };
    (@parse $hot:literal; stream $($ty:ident)::+ <'_> as $name:literal $(, id = $id:literal)? : $up:ty => $down:ty) => {
        $crate::register_message!(@borrowed $hot; [stream] [$($ty)::+] [$($id)?] $name);
        $crate::register_message!(@stream [$($ty)::+ <'_>] $up, $down);
    };
    (@parse $hot:literal; stream $($ty:ident)::+ <'_> $(, id = $id:literal)? : $up:ty => $down:ty) => {
        $crate::register_message!(@borrowed $hot; [stream] [$($ty)::+] [$($id)?] $crate::Registration::bare_name(::core::stringify!($($ty)::+)));
        $crate::register_message!(@stream [$($ty)::+ <'_>] $up, $down);
    };
    (@parse $hot:literal; stream $ty:ty as $name:literal $(, id = $id:literal)? : $up:ty => $down:ty) => {
        $crate::register_message!(@owned $hot; [stream] [$ty] [$($id)?] $name);
        $crate::register_message!(@stream [$ty] $up, $down);
    };
    (@parse $hot:literal; stream $ty:ty $(, id = $id:literal)? : $up:ty => $down:ty) => {
        $crate::register_message!(@owned $hot; [stream] [$ty] [$($id)?] $crate::Registration::bare_name(::core::stringify!($ty)));
        $crate::register_message!(@stream [$ty] $up, $down);
    };
    (@parse $hot:literal; $($ty:ident)::+ <'_> as $name:literal $(, id = $id:literal $(, answer = $answer:literal)?)? $(=> $ok:ty $(, $err:ty)?)?) => {
        $crate::register_message!(@borrowed $hot; [answer $($ok)?] [$($ty)::+] [$($id $($answer)?)?] $name);
        $crate::register_message!(@answer [$($ty)::+ <'_>] $($ok $(, $err)?)?);
    };
    (@parse $hot:literal; $($ty:ident)::+ <'_> $(, id = $id:literal $(, answer = $answer:literal)?)? $(=> $ok:ty $(, $err:ty)?)?) => {
        $crate::register_message!(@borrowed $hot; [answer $($ok)?] [$($ty)::+] [$($id $($answer)?)?] $crate::Registration::bare_name(::core::stringify!($($ty)::+)));
        $crate::register_message!(@answer [$($ty)::+ <'_>] $($ok $(, $err)?)?);
    };
    (@parse $hot:literal; $ty:ty as $name:literal $(, id = $id:literal $(, answer = $answer:literal)?)? $(=> $ok:ty $(, $err:ty)?)?) => {
        $crate::register_message!(@owned $hot; [answer $($ok)?] [$ty] [$($id $($answer)?)?] $name);
        $crate::register_message!(@answer [$ty] $($ok $(, $err)?)?);
    };
    (@parse $hot:literal; $ty:ty $(, id = $id:literal $(, answer = $answer:literal)?)? $(=> $ok:ty $(, $err:ty)?)?) => {
        $crate::register_message!(@owned $hot; [answer $($ok)?] [$ty] [$($id $($answer)?)?] $crate::Registration::bare_name(::core::stringify!($ty)));
        $crate::register_message!(@answer [$ty] $($ok $(, $err)?)?);
    };
    (@owned $hot:literal; $kind:tt [$ty:ty] $ids:tt $name:expr) => {
        impl $crate::MessageFamily for $ty {
            type View<'a> = $ty;
        }
        $crate::register_message!(@message $hot; $kind [$ty] [$ty] $ids $name);
    };
    (@borrowed $hot:literal; $kind:tt [$($ty:tt)+] $ids:tt $name:expr) => {
        impl $crate::MessageFamily for $($ty)+ <'static> {
            type View<'a> = $($ty)+ <'a>;
        }
        $crate::register_message!(@message $hot; $kind [$($ty)+ <'_>] [$($ty)+ <'static>] $ids $name);
    };
    (@message $hot:literal; $kind:tt [$ty:ty] [$family:ty] $ids:tt $name:expr) => {
        const _: () = {
            static REGISTRATION: $crate::Registration = $crate::register_message!(@numbered $ids
                $crate::Registration::new(
                    $name,
                    $hot,
                    ::core::file!(),
                    ::core::line!(),
                )
                .described_by($crate::register_message!(@describe $kind [$family]))
            );
            impl $crate::Message for $ty {
                fn registration() -> &'static $crate::Registration {
                    &REGISTRATION
                }
            }
            $crate::inventory::submit! { &REGISTRATION }
        };
    };
    (@numbered [] $registration:expr) => { $registration };
    (@numbered [$id:literal] $registration:expr) => { $registration.with_id($id) };
    (@numbered [$id:literal $answer:literal] $registration:expr) => {
        $registration.with_id($id).answered_as($answer)
    };
    (@describe [stream] [$family:ty]) => { $crate::schema::Tracing::stream::<$family> };
    (@describe [answer] [$family:ty]) => { $crate::schema::Tracing::post::<$family> };
    (@describe [answer $ok:ty] [$family:ty]) => { $crate::schema::Tracing::request::<$family> };
    (@answer [$ty:ty]) => {};
    (@answer [$ty:ty] $ok:ty) => {
        $crate::register_message!(@answer [$ty] $ok, $crate::NoError);
    };
    (@answer [$ty:ty] $ok:ty, $err:ty) => {
        impl $crate::Request for $ty {
            type Response = $ok;
            type Error = $err;
        }
    };
    (@stream [$ty:ty] $up:ty, $down:ty) => {
        impl $crate::StreamMessage for $ty {
            type Up = $up;
            type Down = $down;
        }
    };
    (@ $($rest:tt)*) => {
        ::core::compile_error!(
            "register_message! takes `Type`, `Type as \"name\"`, `Type => Answer`, \
             `Type => Answer, Error` or `stream Type: Up => Down`; `hot` may stand in front, and \
             `, id = 7` behind the type or its name (`, id = 7, answer = 8` for a request)"
        );
    };
    ($($rest:tt)+) => { $crate::register_message!(@parse false; $($rest)+); };
}

/// Links a crate for the messages it registers: `link!(my_messages);`.
///
/// A crate that is only depended on, and never named in code, is not linked at all, and its
/// messages are missing without a word. One line of this names it.
#[macro_export]
macro_rules! link {
    ($($name:ident),+ $(,)?) => {
        $(use $name as _;)+
    };
}
