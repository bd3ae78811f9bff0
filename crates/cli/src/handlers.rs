//! The service of the demonstration: what answers its messages, by hand and in `moor demo`.

use moorline::{Context, ErrorCode, Failure, NoError, Service};

use crate::messages::{
    Confirm, Digest, Digested, Echo, Finish, Login, LoginRefused, Note, Verdict, Welcome,
};
use crate::tally::{Tallies, sha256_hex};

/// Bytes from which a digest is left to another thread, so that the messages behind it do not wait:
/// a millisecond's work or so.
const INLINE_DIGEST_MAX: usize = 256 * 1024;

/// Characters of a note that go to the log.
const LOGGED_CHARS_MAX: usize = 200;

/// Hangs all handlers of the server on `service`, which speaks `protocol`.
pub(crate) fn install(service: &Service, protocol: &str) {
    let tallies = Tallies::default();
    tallies.follow(service, protocol);
    service.handle_now(login);
    service.handle_now(|_, echo: Echo| Ok(echo));
    let noted = tallies.clone();
    service.on(move |cx, note: Note| {
        noted.note(cx.session().id(), &note.text);
        let text: String = note.text.chars().take(LOGGED_CHARS_MAX).collect();
        tracing::debug!(?text, "note");
    });
    let digested = tallies.clone();
    service.handle(move |cx, digest: Digest| {
        let tallies = digested.clone();
        async move {
            let answer = self::digest(digest).await?;
            tallies.digest(cx.session().id(), answer.size);
            Ok(answer)
        }
    });
    service.handle(move |cx, _: Finish| {
        let tallies = tallies.clone();
        async move { finish(&cx, &tallies).await }
    });
}

fn login(cx: &Context, login: Login) -> Result<Welcome, Failure<LoginRefused>> {
    if login.name.is_empty() {
        return Err(LoginRefused { reason: "the name is empty; say who you are".into() }.into());
    }
    let listed_as = cx.peer().listed.as_ref().map_or("", |peer| &*peer.name).to_owned();
    let name: String = login.name.chars().take(LOGGED_CHARS_MAX).collect();
    tracing::info!(?name, listed_as, "login");
    Ok(Welcome { greeting: format!("welcome, {}", login.name), listed_as })
}

async fn digest(digest: Digest) -> Result<Digested, Failure<NoError>> {
    let data = digest.data.0;
    let size = data.len() as u64;
    let sha256 = if data.len() <= INLINE_DIGEST_MAX {
        sha256_hex(&data)
    } else {
        tokio::task::spawn_blocking(move || sha256_hex(&data))
            .await
            .map_err(|_| Failure::fault(ErrorCode::INTERNAL, "the digest was not finished"))?
    };
    Ok(Digested { sha256, size })
}

/// Asks the client whether it has counted the same, while its own request waits for the answer.
async fn finish(cx: &Context, tallies: &Tallies) -> Result<Verdict, Failure<NoError>> {
    let session = cx.session();
    let totals = tallies
        .totals(session.id())
        .ok_or_else(|| Failure::fault(ErrorCode::INTERNAL, "the session has no tally"))?;
    session.request(Confirm { totals }).await.map_err(|error| {
        let text = format!("the client did not answer demo.Confirm: {error}");
        Failure::fault(ErrorCode::INTERNAL, &text)
    })
}
