//! What a unit is for: its op, and the two flags beside it.

use crate::closed::Violation;
use crate::code::ErrorCode;

/// The op of a unit: bits 0 to 4 of its type, and the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    Post,
    Request,
    Response,
    Error,
    Cancel,
    Open,
    Data,
    End,
    Reset,
    Credit,
    Ack,
    Subscribe,
    Unsubscribe,
    Publish,
    Ping,
    Pong,
    GoAway,
    Frag,
    FragAbort,
    Dict,
    Close,
    KeyUpdate,
    /// Nobody has given it a meaning yet; who does not know it cannot go on.
    Critical16,
    /// As [`Op::Critical16`].
    Critical17,
    /// Nobody has given it a meaning yet; skipped and counted.
    Ignorable18,
    /// As [`Op::Ignorable18`].
    Ignorable19,
    /// As [`Op::Ignorable18`].
    Ignorable1A,
    /// As [`Op::Ignorable18`].
    Ignorable1B,
    Hello,
    Noise,
    Setup,
    Record,
}

/// All ops, each at the place of its number.
const OPS: [Op; 32] = [
    Op::Post,
    Op::Request,
    Op::Response,
    Op::Error,
    Op::Cancel,
    Op::Open,
    Op::Data,
    Op::End,
    Op::Reset,
    Op::Credit,
    Op::Ack,
    Op::Subscribe,
    Op::Unsubscribe,
    Op::Publish,
    Op::Ping,
    Op::Pong,
    Op::GoAway,
    Op::Frag,
    Op::FragAbort,
    Op::Dict,
    Op::Close,
    Op::KeyUpdate,
    Op::Critical16,
    Op::Critical17,
    Op::Ignorable18,
    Op::Ignorable19,
    Op::Ignorable1A,
    Op::Ignorable1B,
    Op::Hello,
    Op::Noise,
    Op::Setup,
    Op::Record,
];

impl Op {
    /// The type of a unit of this op without flags.
    pub(crate) const fn ty(self) -> u8 {
        self as u8
    }

    /// Takes a type apart.
    ///
    /// # Errors
    /// A flag this op gives no meaning to, or an unknown op that must be known.
    //= docs/PROTOCOL.md#1
    pub(crate) fn split(ty: u8) -> Result<(Op, Flags), Violation> {
        let op = OPS[usize::from(ty & 0x1F)];
        if ty & 0x80 != 0 {
            return Err(Violation::protocol(1, "the type of a unit has its sign bit set"));
        }
        let flags = Flags(ty & (Flags::META | Flags::X));
        match op {
            Op::Critical16 | Op::Critical17 => Err(Violation::with_code(
                1,
                "an op from a later version that cannot be ignored",
                ErrorCode::UNSUPPORTED,
            )),
            _ if flags.0 & !op.meaningful_flags() != 0 => {
                Err(Violation::protocol(1, "a flag that means nothing for this op"))
            }
            _ => Ok((op, flags)),
        }
    }

    const fn meaningful_flags(self) -> u8 {
        match self {
            Op::Post => Flags::META,
            Op::Request | Op::Open | Op::Subscribe => Flags::META | Flags::X,
            Op::Data | Op::Publish | Op::GoAway | Op::Frag => Flags::X,
            // What is skipped unread may have any.
            Op::Ignorable18 | Op::Ignorable19 | Op::Ignorable1A | Op::Ignorable1B => {
                Flags::META | Flags::X
            }
            _ => 0,
        }
    }
}

/// The flags of a unit: bits 5 and 6 of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// A metadata map follows the ids.
    pub(crate) const META: u8 = 0x20;
    /// What it means depends on the op.
    pub(crate) const X: u8 = 0x40;

    /// Whether a metadata map follows the ids.
    pub(crate) const fn meta(self) -> bool {
        self.0 & Self::META != 0
    }

    /// Whether the flag is set whose meaning depends on the op.
    pub(crate) const fn x(self) -> bool {
        self.0 & Self::X != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_op_stands_at_its_number() {
        for (number, op) in OPS.iter().enumerate() {
            assert_eq!(usize::from(op.ty()), number);
        }
        // A few numbers of the document, so that the two lists cannot drift together.
        assert_eq!(Op::Credit.ty(), 0x09);
        assert_eq!(Op::Ping.ty(), 0x0E);
        assert_eq!(Op::GoAway.ty(), 0x10);
        assert_eq!(Op::Dict.ty(), 0x13);
        assert_eq!(Op::KeyUpdate.ty(), 0x15);
        assert_eq!(Op::Hello.ty(), 0x1C);
        assert_eq!(Op::Record.ty(), 0x1F);
    }

    //= docs/PROTOCOL.md#1
    #[test]
    fn flags_are_taken_only_where_they_mean_something() {
        let (op, flags) = Op::split(0x61).unwrap();
        assert!(op == Op::Request && flags.meta() && flags.x());
        let (op, flags) = Op::split(0x51).unwrap();
        assert!(op == Op::Frag && !flags.meta() && flags.x());
        let with_meta = [0x00, 0x01, 0x05, 0x0B, 0x18, 0x19, 0x1A, 0x1B];
        let with_x = [0x01, 0x05, 0x06, 0x0B, 0x0D, 0x10, 0x11, 0x18, 0x19, 0x1A, 0x1B];
        for op in (0x00..0x20).filter(|op| !matches!(op, 0x16 | 0x17)) {
            assert!(Op::split(op).is_ok());
            assert_eq!(Op::split(op | 0x20).is_ok(), with_meta.contains(&op), "{op:#04x}");
            assert_eq!(Op::split(op | 0x40).is_ok(), with_x.contains(&op), "{op:#04x}");
            assert!(Op::split(op | 0x80).is_err());
        }
    }

    #[test]
    fn an_unknown_critical_op_is_unsupported_and_not_a_broken_rule() {
        for ty in [0x16, 0x17, 0x36, 0x57] {
            assert_eq!(Op::split(ty).unwrap_err().code, ErrorCode::UNSUPPORTED);
        }
    }
}
