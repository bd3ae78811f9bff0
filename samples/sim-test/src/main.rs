//! The counter on a real service, with its client in the same process.

#![forbid(unsafe_code)]

use moorline::{Identity, Peers, Service};
use sim_test::{Add, Counter, Watch, add_surely};

#[tokio::main(flavor = "current_thread")]
async fn main() -> moorline::Result<()> {
    let server =
        Service::builder().identity(Identity::generate()?).peers(Peers::anyone()).build()?;
    let counter = Counter::default();
    let adds = counter.clone();
    server.handle_now(move |_cx, add: Add| Ok(adds.add(&add)));
    server.handle_now(move |cx, _: Watch| Ok(counter.watch(cx.session())));
    let url = server.accept("mem://counter", "msgpack").await?.url().to_string();

    let client = Service::builder().identity(Identity::generate()?).build()?;
    let connect = async || client.connect(&url, "msgpack").await.ok();
    for key in 1..=3 {
        let total = add_surely(connect, Add { key, amount: 10 }).await;
        println!("{}", total.0);
    }
    client.shutdown().await?;
    server.shutdown().await
}
