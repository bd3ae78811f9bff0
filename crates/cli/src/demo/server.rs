//! `moor demo-server`: the server's side, in its own process. The current folder is the temporary
//! one of the demonstration.

use moorline::{Identity, Peers, Service, SessionClosed, topic};

use super::event::Event;
use super::{PEER_LIST, PROTOCOL, SERVER_KEY, SOCKET, lifeline};
use crate::exit::Exit;
use crate::handlers;

pub(crate) async fn run() -> Result<(), Exit> {
    let (_, mut stop) = lifeline::hold();
    let (service, urls) = start().await.map_err(|error| {
        Event::Failed { reason: format!("the server cannot start: {error}") }.tell();
        Exit::failed_as_told()
    })?;
    Event::Listening { urls }.tell();
    stop.wait().await;
    service.shutdown().await.map_err(|error| {
        Event::Failed { reason: format!("the server did not drain: {error}") }.tell();
        Exit::failed_as_told()
    })
}

async fn start() -> moorline::Result<(Service, Vec<String>)> {
    let service = Service::builder()
        .identity(Identity::load(SERVER_KEY)?)
        .peers(Peers::file(PEER_LIST)?)
        .build()?;
    handlers::install(&service, PROTOCOL);
    service.subscribe(topic(PROTOCOL, SessionClosed), |closed| {
        if !closed.reason.is_ordinary() {
            Event::SessionEnded { reason: closed.reason.to_string() }.tell();
        }
    });
    let mut urls = Vec::new();
    let mut places = vec!["tcp://127.0.0.1:0".to_owned()];
    if cfg!(unix) {
        places.push(format!("uds://{SOCKET}"));
    }
    for place in places {
        urls.push(service.accept(&place, PROTOCOL).await?.url().to_string());
    }
    Ok((service, urls))
}
