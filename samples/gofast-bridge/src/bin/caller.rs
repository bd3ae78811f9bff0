//! Scores, asks and looks: `cargo run -p gofast-bridge --bin caller -- gofast tcp://127.0.0.1:<port>`.

#![forbid(unsafe_code)]

use gofast_bridge::{Board, Score, Scored};
use moorline::{Identity, Service};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(protocol), Some(url)) = (arguments.next(), arguments.next()) else {
        return Err("usage: caller PROTOCOL URL, as the bridge has printed them".into());
    };
    let service = Service::builder().identity(Identity::generate()?).build()?;
    let session = service.connect(&url, &protocol).await?;
    session.send(&Scored { player: protocol.clone(), points: 7 })?;
    let total = session.request(Score { player: protocol }).await?;
    println!("{} points", total.points);
    let mut board = session.open(&Board {})?;
    board.finish()?;
    while let Some(Scored { player, points }) = board.recv().await? {
        println!("{player}: {points}");
    }
    service.shutdown().await?;
    Ok(())
}
