//! Everything of the builder that can be set from outside the program, one line each.

use std::time::Duration;

use moorline_protocol::limits::{
    IN_FLIGHT_MIN, MESSAGE_MAX_MAX, STREAMS_MIN, WINDOW_MAX, WINDOW_MIN,
};
use moorline_session::Flush;

use crate::config::{Kind, Knob, Value};
use crate::limits::{BUSY_POLL_MAX, SHARDS_MAX, TIME_MAX};

/// The shortest time there is, in microseconds: none of them may be nothing.
const MS: u64 = 1_000;

/// Where there is no bound.
const ANY: u64 = u64::MAX;

/// The longest interval of `Flush::Every`, in microseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000_000;

const WINDOW: (u64, u64) = (WINDOW_MIN, WINDOW_MAX);
const TIME: (u64, u64) = (MS, micros(TIME_MAX));

macro_rules! knobs {
    ($($name:literal $kind:ident $bounds:expr, $($field:ident).+, $about:literal;)+) => {
        /// All knobs, in the order in which they are explained.
        pub(crate) static KNOBS: &[Knob] = &[$(Knob {
            name: $name,
            about: $about,
            kind: Kind::$kind,
            bounds: $bounds,
            read: |builder| builder.$($field).+.read(Kind::$kind),
            write: |builder, value| builder.$($field).+.write(value),
        },)+];
    };
}

knobs! {
    "realm" Text (0, ANY), realm, "both sides must name the same one";
    "agent" Text (0, 64), agent, "what software we say we are";
    "message_max" Size (WINDOW_MIN, MESSAGE_MAX_MAX), settings.message_max, "largest message taken";
    "initiation_window" Size WINDOW, settings.initiation_window,
        "posts and requests the peer may send ahead";
    "stream_window" Size WINDOW, settings.stream_window, "what the peer may send ahead on a stream";
    "in_flight_max" Count (IN_FLIGHT_MIN as u64, 1 << 16), settings.in_flight_max,
        "requests of the peer at once";
    "streams_max" Count (STREAMS_MIN as u64, 1 << 16), settings.streams_max,
        "streams of the peer at once";
    "record_log2" Count (12, 16), settings.record_log2, "log2 of the largest record taken";
    "outbox_bytes" Size (WINDOW_MIN, ANY), outbox_bytes, "what a session queues before it is full";
    "flush" Flush (1, DAY), flush, "when what is queued leaves";
    "sessions_max" Count (1, 1 << 31), sessions_max, "sessions and clients at once";
    "timeout" TimeOrNever TIME, settings.timeout, "a request that names no time";
    "heartbeat" TimeOrNever TIME, settings.heartbeat,
        "silence until a peer that something waits for is asked";
    "keep_alive" TimeOrNever TIME, settings.keep_alive, "silence until a peer at rest is asked";
    "dead_after" Time TIME, settings.dead_after, "silence of a peer that was asked, until its end";
    "idle_timeout" TimeOrNever TIME, settings.idle_timeout, "a session without work, until its end";
    "handshake_timeout" Time TIME, settings.handshake_timeout, "first byte to open session";
    "connect_timeout" Time TIME, patience.connect, "dialing, before the handshake";
    "close_wait" Time TIME, patience.close, "closing a session in order";
    "drain_deadline" Time TIME, patience.drain, "what runs may finish within, at shutdown";
    "connection_age" TimeOrNever TIME, patience.age, "age at which an accepted session is drained";
    "shards" Count (0, SHARDS_MAX as u64), shards, "threads of the service's own";
    "busy_poll" TimeOrNever (1, micros(BUSY_POLL_MAX)), busy_poll,
        "how long a busy session looks at its socket before it sleeps";
}

const fn micros(time: Duration) -> u64 {
    time.as_secs() * 1_000_000
}

/// A field of the builder that is set by a knob, whose value it was made for.
trait Field {
    fn read(&self, kind: Kind) -> Value;
    fn write(&mut self, value: &Value);
}

macro_rules! number {
    ($($number:ty)+) => {$(
        impl Field for $number {
            fn read(&self, kind: Kind) -> Value {
                let number = u64::try_from(*self).unwrap_or(u64::MAX);
                kind.number(number).expect("a knob over a number takes numbers")
            }

            fn write(&mut self, value: &Value) {
                if let Value::Size(number) | Value::Count(number) = value {
                    // The bounds of the knob are narrower, but on machines of 32 bits.
                    *self = Self::try_from(*number).unwrap_or(Self::MAX);
                }
            }
        }
    )+};
}

number!(u8 u32 u64 usize);

impl Field for Duration {
    fn read(&self, _: Kind) -> Value {
        Value::Time(Some(*self))
    }

    fn write(&mut self, value: &Value) {
        if let Value::Time(Some(time)) = value {
            *self = *time;
        }
    }
}

impl Field for Option<Duration> {
    fn read(&self, _: Kind) -> Value {
        Value::Time(*self)
    }

    fn write(&mut self, value: &Value) {
        if let Value::Time(time) = value {
            *self = *time;
        }
    }
}

impl Field for String {
    fn read(&self, _: Kind) -> Value {
        Value::Text(self.as_str().into())
    }

    fn write(&mut self, value: &Value) {
        if let Value::Text(text) = value {
            *self = text.to_string();
        }
    }
}

impl Field for Flush {
    fn read(&self, _: Kind) -> Value {
        Value::Flush(*self)
    }

    fn write(&mut self, value: &Value) {
        if let Value::Flush(flush) = value {
            *self = *flush;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::ServiceBuilder;

    #[test]
    fn every_knob_writes_what_it_reads_and_its_default_is_within_its_bounds() {
        let plain = ServiceBuilder::default();
        for knob in KNOBS {
            let default = (knob.read)(&plain);
            knob.check(&default).unwrap_or_else(|problem| panic!("{}: {problem}", knob.name));
            let mut builder = ServiceBuilder::default();
            let other = match &default {
                Value::Time(_) => Value::Time(Some(Duration::from_micros(knob.bounds.0 + 1))),
                Value::Size(_) => Value::Size(knob.bounds.0 + 1),
                Value::Count(_) => Value::Count(knob.bounds.0 + 1),
                Value::Text(_) => Value::Text("other".into()),
                Value::Flush(_) => Value::Flush(Flush::Manual),
            };
            (knob.write)(&mut builder, &other);
            assert_eq!((knob.read)(&builder), other, "{}", knob.name);
            for same in KNOBS.iter().filter(|same| same.name != knob.name) {
                assert_eq!((same.read)(&builder), (same.read)(&plain), "{}", knob.name);
            }
            // As it is written it can be read again.
            let text = default.to_string();
            let text = text.trim_matches('"');
            assert_eq!(knob.kind.parse(text), Some(default), "{}", knob.name);
        }
    }
}
