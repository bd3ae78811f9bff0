//! What a frame says, in short: for the trace, and for what a scripted peer hears.

use moorline_protocol::{Frame, Kind, MessageRegistry};

/// One frame as a few words.
pub(crate) fn told(frame: &Frame<'_>, registry: &MessageRegistry) -> String {
    match frame {
        Frame::Post { kind, body, .. } => {
            format!("post {} of {} B", name(*kind, registry), body.len())
        }
        Frame::Request { id, kind, body, .. } => {
            format!("request {id} {} of {} B", name(*kind, registry), body.len())
        }
        Frame::Response { id, body } => format!("response {id} of {} B", body.len()),
        Frame::Error { id, code, .. } => format!("error {id} code {}", code.0),
        Frame::Cancel { id } => format!("cancel {id}"),
        Frame::Credit { stream, total } => format!("credit {total} of stream {stream}"),
        Frame::Ping { nonce } => format!("ping {nonce}"),
        Frame::Pong { nonce } => format!("pong {nonce}"),
        Frame::GoAway { obeyed: false, .. } => "goaway".into(),
        Frame::GoAway { obeyed: true, .. } => "goaway obeyed".into(),
        Frame::Close { code, .. } => format!("close {}", code.0),
        Frame::Types(types) => format!("types, {} now", types.count()),
        Frame::Partial | Frame::Piece { .. } => "partial".into(),
        Frame::Open { stream, credit, .. } => format!("open {stream}, credit {credit}"),
        Frame::Data { stream, body, .. } => format!("data of stream {stream}, {} B", body.len()),
        Frame::End { stream, trailer } => {
            format!("end of stream {stream}, trailer of {} B", trailer.len())
        }
        Frame::Reset { stream, code, .. } => format!("reset of stream {stream}, code {}", code.0),
        Frame::Ack { stream, count } => format!("ack {count} of stream {stream}"),
        other => format!("{other:?}"),
    }
}

fn name(kind: Kind, registry: &MessageRegistry) -> &'static str {
    match kind {
        Kind::Known(index) => registry.name_of(index).unwrap_or("?"),
        Kind::Unknown { .. } => "?",
    }
}
