//! Answers over `msgpack` and over `gofast`: `cargo run -p gofast-bridge --bin bridge`.

#![forbid(unsafe_code)]

#[tokio::main]
async fn main() -> moorline::Result<()> {
    let service = gofast_bridge::service()?;
    for protocol in ["msgpack", "gofast", "gofast-2016"] {
        let at = service.accept("tcp://127.0.0.1:0", protocol).await?;
        println!("{protocol} {}", at.url()); // what a client needs
    }
    service.run().await // until ctrl-c, then drains
}
