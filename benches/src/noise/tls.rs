//! TLS 1.3 by rustls in memory: X25519MLKEM768, certificates on P-256, nothing resumed.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

/// A client and a server that trust one issuer.
pub(super) struct Parties {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: ServerName<'static>,
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

impl Parties {
    /// With a certificate for the client too, or for the server alone.
    pub(super) fn new(mutual: bool) -> Parties {
        let issuer = issuer();
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).expect("a certificate just made");
        let roots = Arc::new(roots);
        let provider = Arc::new(CryptoProvider {
            kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
            ..aws_lc_rs::default_provider()
        });

        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3");
        let server = if mutual {
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::clone(&roots),
                Arc::clone(&provider),
            );
            server.with_client_cert_verifier(verifier.build().expect("there is a root"))
        } else {
            server.with_no_client_auth()
        };
        let (chain, key) = leaf(&issuer, "server");
        let mut server = server.with_single_cert(chain, key).expect("key and certificate match");
        server.send_tls13_tickets = 0;

        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_root_certificates(roots);
        let mut client = if mutual {
            let (chain, key) = leaf(&issuer, "client");
            client.with_client_auth_cert(chain, key).expect("key and certificate match")
        } else {
            client.with_no_client_auth()
        };
        client.resumption = Resumption::disabled();
        let name = ServerName::try_from("server").expect("a name");
        Parties { client: Arc::new(client), server: Arc::new(server), name }
    }

    /// One whole handshake, both sides.
    pub(super) fn run(&self) {
        let client = ClientConnection::new(Arc::clone(&self.client), self.name.clone());
        let mut client = client.expect("a good configuration");
        let mut server =
            ServerConnection::new(Arc::clone(&self.server)).expect("a good configuration");
        let mut wire = Vec::with_capacity(8_192);
        while client.is_handshaking() || server.is_handshaking() {
            while client.wants_write() {
                client.write_tls(&mut wire).expect("memory takes it");
            }
            let mut bytes = &wire[..];
            while !bytes.is_empty() {
                server.read_tls(&mut bytes).expect("memory gives it");
                server.process_new_packets().expect("a genuine message");
            }
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("memory takes it");
            }
            let mut bytes = &wire[..];
            while !bytes.is_empty() {
                client.read_tls(&mut bytes).expect("memory gives it");
                client.process_new_packets().expect("a genuine message");
            }
            wire.clear();
        }
    }
}

fn issuer() -> Issuer {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("randomness");
    CertifiedIssuer::self_signed(params, key).expect("good parameters")
}

fn leaf(issuer: &Issuer, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().expect("randomness");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, issuer).expect("good parameters");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS #8");
    (vec![certificate.der().clone()], key)
}
