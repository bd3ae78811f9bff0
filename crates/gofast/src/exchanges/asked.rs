//! What a real peer was asked only to hear that it has heard what was said before. It answers with who
//! it is, in order, so what each answer stands for is remembered here, as the questions leave.

use std::collections::VecDeque;

use crate::limits::ASKED_MAX;

/// Marks and numbers of questions that have left and are not answered.
#[derive(Debug, Default)]
pub(crate) struct Asked(VecDeque<(u8, u64)>);

impl Asked {
    /// One has left. `false`: too many are not answered.
    pub(crate) fn note(&mut self, mark: u8, number: u64) -> bool {
        let has_room = self.0.len() < ASKED_MAX;
        if has_room {
            self.0.push_back((mark, number));
        }
        has_room
    }

    /// The oldest is answered. `None`: there is none.
    pub(crate) fn answered(&mut self) -> Option<(u8, u64)> {
        self.0.pop_front()
    }

    pub(crate) fn park(&mut self) {
        self.0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_answered_in_order_and_bounded() {
        let mut asked = Asked::default();
        assert_eq!(asked.answered(), None);
        let taken = (0..).take_while(|number| asked.note(b'p', *number)).count();
        assert_eq!(taken, ASKED_MAX);
        assert_eq!((asked.answered(), asked.answered()), (Some((b'p', 0)), Some((b'p', 1))));
        assert!(asked.note(b's', 7));
    }
}
