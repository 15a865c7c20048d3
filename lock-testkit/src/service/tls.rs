//! Certificates for a server that speaks TLS: made for each server, valid nowhere else.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};

use crate::SetupError;

/// What a server asks of TLS clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "one end shows a certificate, or both"
)]
pub enum Tls {
    /// Clients must show a certificate too.
    Mutual,
    /// The server alone shows a certificate.
    Server,
}

/// What a client needs to talk to a server that speaks TLS, in PEM.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsFiles {
    /// The authority that signed the server's certificate.
    pub ca_pem: String,
    /// A client's certificate.
    pub client_cert_pem: String,
    /// Its key.
    pub client_key_pem: String,
}

/// The server's own part.
pub(super) struct ServerFiles {
    pub(super) cert_pem: String,
    pub(super) key_pem: String,
}

/// Makes an authority, and certificates for a server on the loopback interface and its client.
pub(super) fn make() -> Result<(ServerFiles, TlsFiles), SetupError> {
    try_make().map_err(|e| SetupError::new("cannot make certificates").with_source(e))
}

fn try_make() -> Result<(ServerFiles, TlsFiles), rcgen::Error> {
    let mut authority = params("lock-testkit authority", &[])?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let server_key = KeyPair::generate()?;
    let server = params("lock-testkit server", &["localhost", "127.0.0.1"])?;
    let server = server.signed_by(&server_key, &authority)?;
    let client_key = KeyPair::generate()?;
    let client = params("lock-testkit client", &[])?.signed_by(&client_key, &authority)?;
    Ok((
        ServerFiles {
            cert_pem: server.pem(),
            key_pem: server_key.serialize_pem(),
        },
        TlsFiles {
            ca_pem: authority.pem(),
            client_cert_pem: client.pem(),
            client_key_pem: client_key.serialize_pem(),
        },
    ))
}

/// Each certificate has a subject of its own: one whose subject is its issuer's passes for
/// self-signed.
fn params(subject: &str, names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    Ok(params)
}
