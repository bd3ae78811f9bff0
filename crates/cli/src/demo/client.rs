//! `moor demo-client`: the client's side, in its own process. The current folder is the temporary
//! one of the demonstration, and the plan is the first line on stdin.

use moorline::{Identity, Service};

use super::event::{Event, Plan};
use super::lifeline::{self, Stop};
use super::part::all_parts;
use super::transport_run::{Halt, TransportRun};
use super::{CLIENT_KEY, PROTOCOL};
use crate::exit::Exit;
use crate::messages::{Confirm, Verdict};
use crate::tally::Tallies;

pub(crate) async fn run() -> Result<(), Exit> {
    let (line, stop) = lifeline::hold();
    let line = line.await.unwrap_or_default();
    match speak(&line, stop).await {
        Ok(()) => Ok(()),
        Err(Halt::Interrupted) => {
            Event::Interrupted.tell();
            Err(Exit::interrupted())
        }
        Err(Halt::Failed(reason)) => {
            Event::Failed { reason }.tell();
            Err(Exit::failed_as_told())
        }
    }
}

async fn speak(line: &str, stop: Stop) -> Result<(), Halt> {
    let plan: Plan =
        serde_json::from_str(line).map_err(|error| Halt::Failed(format!("no plan: {error}")))?;
    let parts = all_parts(&plan.files)?;
    let tallies = Tallies::default();
    let service = start(&tallies).map_err(|error| Halt::Failed(error.to_string()))?;
    let mut result = Ok(());
    for url in &plan.urls {
        let run = TransportRun {
            service: &service,
            url,
            parts: &parts,
            tallies: &tallies,
            stop: stop.clone(),
        };
        result = run.play().await;
        if result.is_err() {
            break;
        }
    }
    // Also after a failure: the server shall hear a farewell where there is still a way to say it.
    let ended = service.shutdown().await;
    result?;
    ended.map_err(|error| Halt::Failed(error.to_string()))
}

fn start(tallies: &Tallies) -> moorline::Result<Service> {
    let service = Service::builder().identity(Identity::load(CLIENT_KEY)?).build()?;
    tallies.follow(&service, PROTOCOL);
    let tallies = tallies.clone();
    service.handle_now(move |cx, confirm: Confirm| {
        let difference = match tallies.totals(cx.session().id()) {
            Some(totals) => totals.difference(&confirm.totals),
            None => "the client has no tally of this session".into(),
        };
        Ok(Verdict { difference })
    });
    Ok(service)
}
