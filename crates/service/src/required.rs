//! Messages that a peer must handle, or there is no session with it (PROTOCOL 4).

use moorline_protocol::{
    ErrorCode, Farewell, Message, MessageIndex, MessageRegistry, PeerTypes, RegistryError,
};

/// What was asked for on the builder, before there is a registry.
pub(crate) type Wanted =
    fn(&MessageRegistry) -> Result<(MessageIndex, &'static str), RegistryError>;

pub(crate) fn wanted<M: Message>() -> Wanted {
    |registry| Ok((registry.index_of::<M>()?, M::registration().name()))
}

/// The same by number and name.
#[derive(Default)]
pub(crate) struct Required(Vec<(MessageIndex, &'static str)>);

impl Required {
    pub(crate) fn of(wanted: &[Wanted], registry: &MessageRegistry) -> Result<Self, RegistryError> {
        let found: Result<_, _> = wanted.iter().map(|find| find(registry)).collect();
        Ok(Self(found?))
    }

    /// What to say to a peer that does not handle some of them. One that does not say what it
    /// handles is believed to handle all.
    //= docs/PROTOCOL.md#4
    pub(crate) fn unmet(&self, types: &PeerTypes) -> Option<Farewell> {
        let missing: Vec<_> = self
            .0
            .iter()
            .filter(|(index, _)| types.handled(*index) == Some(false))
            .map(|(_, name)| format!("\"{name}\""))
            .collect();
        let text = format!("required here and not handled there: {}", missing.join(", "));
        (!missing.is_empty()).then(|| Farewell::new(ErrorCode::SCHEMA, &text))
    }
}
