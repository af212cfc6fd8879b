//! Which certificates of a database are accepted.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Protection, Trust};
use crate::user_error::user_error;

/// The authority of hosted databases. No other system trusts it.
const SUPABASE_CA: &[u8] = include_bytes!("supabase_ca.pem");

/// The TLS client for a connection. `alpn` is necessary where TLS starts without Postgres' own
/// request for it (`sslnegotiation=direct`).
pub(super) fn connector(protection: &Protection, alpn: bool) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let accepted = match protection {
        Protection::Verified(Trust::File(path)) => Accepted::from_file(path, &provider)?,
        Protection::Verified(Trust::Platform) => Accepted::platform(&provider)?,
        Protection::Unverified | Protection::UnverifiedOrPlain | Protection::PlainText => {
            Accepted::Any
        }
    };
    let verifier = Arc::new(Verifier {
        accepted,
        provider: provider.clone(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    if alpn {
        config.alpn_protocols.push(b"postgresql".to_vec());
    }
    Ok(MakeRustlsConnect::new(config))
}

/// Whether a name is one that the platform gives to databases.
pub(super) fn is_supabase(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host.ends_with(".supabase.co") || host.ends_with(".supabase.com")
}

#[derive(Debug)]
struct Verifier {
    accepted: Accepted,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Accepted {
    /// What the operating system trusts, and for Supabase's hosts also Supabase's authority.
    Platform {
        /// Fails on Linux without any certificates, as in a small container.
        platform: Result<rustls_platform_verifier::Verifier, rustls::Error>,
        supabase: Arc<WebPkiServerVerifier>,
    },
    /// What authorities in a file have signed. A certificate that is itself in the file is accepted
    /// as it is: the usual one of a self-hosted server signs itself, and may have no name.
    File {
        certificates: Vec<CertificateDer<'static>>,
        authorities: Arc<WebPkiServerVerifier>,
    },
    Any,
}

impl Accepted {
    fn platform(provider: &Arc<CryptoProvider>) -> Result<Self> {
        let certificates = CertificateDer::pem_slice_iter(SUPABASE_CA)
            .collect::<Result<Vec<_>, _>>()
            .context("cannot read Supabase's certificates")?;
        Ok(Self::Platform {
            platform: rustls_platform_verifier::Verifier::new(provider.clone()),
            supabase: authorities(&certificates, provider)?,
        })
    }

    fn from_file(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let unusable = |why: &dyn std::fmt::Display| {
            user_error(
                format!("cannot use the certificates in {}: {why}", path.display()),
                "Pass a file in PEM format: -----BEGIN CERTIFICATE-----. For a hosted project, it is in the dashboard under Settings → Database → SSL Configuration.",
            )
        };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unusable(&error))?;
        if certificates.is_empty() {
            return Err(unusable(&"it has none"));
        }
        let authorities = authorities(&certificates, provider).map_err(|error| unusable(&error))?;
        Ok(Self::File {
            certificates,
            authorities,
        })
    }
}

fn authorities(
    certificates: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone())?;
    }
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify = |by: &dyn ServerCertVerifier| {
            by.verify_server_cert(certificate, intermediates, name, ocsp, now)
        };
        match &self.accepted {
            Accepted::Any => Ok(ServerCertVerified::assertion()),
            Accepted::File { certificates, .. } if certificates.contains(certificate) => {
                Ok(ServerCertVerified::assertion())
            }
            Accepted::File { authorities, .. } => verify(authorities.as_ref()),
            Accepted::Platform { platform, supabase } => {
                if is_supabase(&name.to_str())
                    && let Ok(verified) = verify(supabase.as_ref())
                {
                    return Ok(verified);
                }
                verify(platform.as_ref().map_err(Clone::clone)?)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn supabases_authority_has_the_published_fingerprints() {
        let fingerprints: Vec<String> = CertificateDer::pem_slice_iter(SUPABASE_CA)
            .map(|certificate| {
                let digest = Sha256::digest(certificate.unwrap());
                let bytes: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
                bytes.join(":")
            })
            .collect();
        assert_eq!(
            fingerprints,
            [
                "80:70:25:AD:50:D4:ED:21:9D:2C:9C:7D:29:9C:00:4F:82:4E:B0:0C:F7:F6:5A:FE:F6:07:D0:7B:72:E6:CA:FA",
                "5F:9B:77:95:1A:7A:A1:30:3F:9B:58:EE:A9:BF:A8:9E:35:8C:FD:C1:5F:97:86:FF:10:D4:93:0A:72:2C:9A:E2",
            ]
        );
    }

    #[test]
    fn only_the_platforms_domains_are_supabases() {
        for (host, want) in [
            ("db.abc.supabase.co", true),
            ("aws-0-eu-central-1.pooler.supabase.com", true),
            ("DB.ABC.SUPABASE.CO", true),
            ("supabase.co.example.com", false),
            ("evilsupabase.co", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(is_supabase(host), want, "{host}");
        }
    }

    /// The verdict on a certificate for `name`, which a new authority signed.
    fn verdict(accepted: impl Fn(&rcgen::Certificate) -> Accepted, name: &'static str) -> String {
        let key = || rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new([]).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let (authority, root) = {
            let key = key();
            let root = authority.self_signed(&key).unwrap();
            (rcgen::Issuer::new(authority, key), root)
        };
        let leaf = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key(), &authority).unwrap();
        let verifier = Verifier {
            accepted: accepted(&root),
            provider: Arc::new(ring::default_provider()),
        };
        let name = ServerName::try_from(name).unwrap();
        let verdict = verifier.verify_server_cert(leaf.der(), &[], &name, &[], UnixTime::now());
        verdict.map_or_else(|error| error.to_string(), |_| "accepted".into())
    }

    /// Stands in for Supabase's authority, whose key nobody has.
    fn with_authority(root: &rcgen::Certificate) -> Accepted {
        let provider = Arc::new(ring::default_provider());
        Accepted::Platform {
            platform: Err(rustls::Error::General("the platform's".into())),
            supabase: authorities(&[root.der().clone()], &provider).unwrap(),
        }
    }

    #[test]
    fn supabases_authority_speaks_for_supabases_hosts_alone() {
        assert_eq!(verdict(with_authority, "db.abc.supabase.co"), "accepted");
        let other = verdict(with_authority, "db.example.com");
        assert!(other.contains("the platform's"), "{other}");
        let platform = |_: &rcgen::Certificate| {
            Accepted::platform(&Arc::new(ring::default_provider())).unwrap()
        };
        for name in ["db.abc.supabase.co", "db.example.com"] {
            let unknown = verdict(platform, name);
            assert!(unknown.contains("invalid peer certificate"), "{unknown}");
        }
    }
}
