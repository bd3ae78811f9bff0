//! Numbers for what went wrong, as they travel in ERROR, GOAWAY and CLOSE.

use std::fmt;

/// An error code of the wire (PROTOCOL 7): negative codes are the framework's, 0 is an application
/// error with a typed detail, positive codes are the application's own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: ErrorCode = ErrorCode($value);)*

            /// The name of a framework code, `None` for the application's.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

codes! {
    /// The application's own error; its detail is typed.
    APPLICATION = 0;
    /// The caller did not want the answer any more.
    CANCELLED = -1;
    /// The deadline passed.
    DEADLINE = -2;
    /// Nobody handles this message. Certainly not executed.
    UNIMPLEMENTED = -3;
    /// The body could not be decoded as the type it claims to be.
    DECODE = -4;
    /// A limit of the receiver was reached. Certainly not executed.
    OVERLOADED = -5;
    /// The receiver is shutting down. Certainly not executed.
    DRAINING = -6;
    /// The caller has not said who it is.
    UNAUTHENTICATED = -7;
    /// The caller may not do this.
    FORBIDDEN = -8;
    /// Above the receiver's largest message.
    TOO_LARGE = -9;
    /// The handler panicked.
    INTERNAL = -10;
    /// More was sent than there was credit for.
    FLOW = -11;
    /// A rule of the protocol was broken.
    PROTOCOL = -12;
    /// A required message type is not handled.
    SCHEMA = -13;
    /// Too many cancels, resets or errors.
    CALM = -14;
    /// The handshake took too long.
    HANDSHAKE_TIMEOUT = -15;
    /// A ping stood unanswered for too long.
    HEARTBEAT = -16;
    /// Something the receiver does not know how to do.
    UNSUPPORTED = -17;
    /// The peer's key was removed from the list.
    REVOKED = -18;
}

impl ErrorCode {
    /// Whether a call that ended with this code certainly did not run.
    #[must_use]
    pub const fn certainly_not_executed(self) -> bool {
        matches!(self, Self::UNIMPLEMENTED | Self::OVERLOADED | Self::DRAINING)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "application code {}", self.0),
        }
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framework_codes_have_names_and_application_codes_do_not() {
        assert_eq!(ErrorCode::FLOW.to_string(), "FLOW (-11)");
        assert_eq!(ErrorCode(7).to_string(), "application code 7");
        assert!(ErrorCode::DRAINING.certainly_not_executed());
        assert!(!ErrorCode::INTERNAL.certainly_not_executed());
    }
}
