//! Whose cryptographic primitives are used: the default, the choice, and both ends with different ones.

use moorline::{Identity, Peers, Provider, Result, Service, register_message};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Double(u32);
#[derive(Serialize, Deserialize)]
struct Doubled(u32);
register_message!(Double => Doubled);

fn service(provider: Option<Provider>) -> Result<Service> {
    let builder = Service::builder().identity(Identity::generate()?).peers(Peers::anyone());
    match provider {
        Some(provider) => builder.provider(provider).build(),
        None => builder.build(),
    }
}

#[tokio::test]
async fn the_default_is_the_one_of_the_feature() -> Result<()> {
    let expected = if cfg!(feature = "aws-lc") { "aws-lc" } else { "pure" };
    assert_eq!(service(None)?.provider().name, expected);
    assert_eq!(service(Some(Provider::pure()))?.provider().name, "pure");
    Ok(())
}

#[tokio::test]
async fn services_with_different_providers_understand_each_other() -> Result<()> {
    let server = service(None)?;
    server.handle_now(|_cx, Double(number)| Ok(Doubled(number * 2)));
    let at = server.accept("mem://providers", "msgpack").await?;
    for provider in [None, Some(Provider::pure())] {
        let client = service(provider)?;
        let session = client.connect(&at.url().to_string(), "msgpack").await?;
        let Doubled(answer) = session.request(Double(21)).await?;
        assert_eq!(answer, 42);
        client.shutdown().await?;
    }
    server.shutdown().await
}
