//! Asks for a greeting: `cargo run -p hello --bin client -- tcp://<key>@127.0.0.1:<port>`.

#![forbid(unsafe_code)]

use hello::Hello;
use moorline::{Identity, Service};

#[tokio::main]
async fn main() -> moorline::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_default(); // as the server printed it
    let svc = Service::builder().identity(Identity::load_or_create("client.key")?).build()?;
    let s = svc.connect(&url, "msgpack").await?;
    println!("{}", s.request(Hello { name: "ada".into() }).await?.text);
    svc.shutdown().await
}
