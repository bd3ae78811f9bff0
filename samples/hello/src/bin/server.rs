//! Greets whoever asks: `cargo run -p hello --bin server`.

#![forbid(unsafe_code)]

use hello::{Greeting, Hello};
use moorline::{Identity, Peers, Service};

#[tokio::main]
async fn main() -> moorline::Result<()> {
    let me = Identity::load_or_create("server.key")?;
    let svc = Service::builder().identity(me).peers(Peers::anyone()).build()?;
    svc.handle(|_cx, m: Hello| async move { Ok(Greeting { text: format!("hello, {}", m.name) }) });
    let at = svc.accept("tcp://127.0.0.1:0", "msgpack").await?;
    println!("{}", at.url()); // tcp://<key>@127.0.0.1:<port>, what a client needs
    svc.run().await // until ctrl-c, then drains
}
