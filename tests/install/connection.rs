//! A connection to a database gives nothing away to who is not that database.
//!
//! Every server here listens on this machine. A name in the URL beside `hostaddr` makes it remote
//! for the program.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use supaqueue_tests::run;
use tempfile::TempDir;

use crate::program::{self, Cli, Environment, Run};
use crate::project::{Project, RUNTIME, eventually, test};

const HOST: &str = "db.example.com";
const PASSWORD: &str = "open-sesame";

#[test]
fn a_man_in_the_middle_gets_neither_a_password_nor_a_scram_message() {
    let authority = Authority::new();
    let wrong_name = authority.sign(["other.example.com"], 2099);
    let expired = authority.sign([HOST], 2020);
    #[rustfmt::skip]
    let impostors = [
        ("signed by itself", self_signed(HOST), "no authority that is trusted", "--ca FILE"),
        ("for another name", wrong_name, "not valid for name", "a name in --db-url that the certificate has"),
        ("expired", expired, "expired", "Renew"),
    ];
    for (what, identity, why, remedy) in impostors {
        for request in [CLEARTEXT_PASSWORD, SCRAM] {
            let server = Server::start(Speaks::Tls(identity.config()), request);
            let program = Program::new();
            let ca = program.file("ca.pem", &authority.pem);
            let ca = format!("--ca {}", ca.display());
            let trusted = match what {
                "signed by itself" => "",
                _ => &ca,
            };
            for mode in [
                "",
                "&sslmode=prefer",
                "&sslmode=require",
                "&sslmode=verify-full",
            ] {
                let run = program.doctor(&server, mode, trusted).assert_status(1);
                run.assert_says(&["failed", "not accepted", "no password was sent", why]);
                run.assert_says(&["→", remedy]);
            }
            assert_eq!(server.received(), Vec::<u8>::new(), "{what}");

            // The server is one that would have got it.
            let run = program.doctor(&server, "", "--insecure-db-connection");
            let received = String::from_utf8_lossy(&server.received()).into_owned();
            let want = match request {
                CLEARTEXT_PASSWORD => PASSWORD,
                _ => ",,n=",
            };
            assert!(received.contains(want), "{received:?} {}", run.text);
            // Verification that the URL asks for is not turned off.
            let server = Server::start(Speaks::Tls(identity.config()), request);
            let insecure = "--insecure-db-connection";
            program
                .doctor(&server, "&sslmode=verify-full", insecure)
                .assert_status(1);
            assert_eq!(server.received(), Vec::<u8>::new(), "{what}");
        }
    }
}

#[test]
fn a_server_that_refuses_tls_gets_nothing_in_plain_text() {
    let server = Server::start(Speaks::PlainText, CLEARTEXT_PASSWORD);
    let program = Program::new();
    for mode in ["", "&sslmode=prefer", "&sslmode=allow", "&sslmode=require"] {
        program
            .doctor(&server, mode, "")
            .assert_status(1)
            .assert_says(&[
                "failed",
                "db.example.com refuses TLS",
                "no password was sent",
            ])
            .assert_says(&["→", "--insecure-db-connection"]);
    }
    let run = program
        .doctor(&server, "&sslmode=disable", "")
        .assert_status(1);
    run.assert_says(&[
        "failed",
        "sslmode=disable",
        "in plain text to db.example.com",
    ]);
    let insecure = "--insecure-db-connection";
    program
        .doctor(&server, "&sslmode=require", insecure)
        .assert_status(1);
    assert_eq!(server.received(), Vec::<u8>::new());

    for mode in ["", "&sslmode=disable"] {
        let server = Server::start(Speaks::PlainText, CLEARTEXT_PASSWORD);
        program.doctor(&server, mode, insecure);
        let received = String::from_utf8_lossy(&server.received()).into_owned();
        assert!(received.contains(PASSWORD), "{mode}: {received:?}");
    }
}

#[test]
fn the_timeout_holds_whenever_a_server_falls_silent() {
    let program = Program::new();
    let tls = || Speaks::Tls(self_signed(HOST).config());
    for (speaks, insecure) in [
        (Speaks::Nothing, ""),
        (Speaks::OneByteOfTls, ""),
        (tls(), "--insecure-db-connection"),
    ] {
        let server = Server::start(speaks, NO_REQUEST);
        let start = Instant::now();
        let options = format!("{insecure} --timeout 1");
        program
            .doctor(&server, "", &options)
            .assert_status(1)
            .assert_says(&["failed", "db.example.com did not answer within 1 s"])
            .assert_says(&["→", "--timeout allows more time"]);
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{:?}",
            start.elapsed()
        );
    }
}

#[test]
fn a_statement_that_waits_is_cancelled_after_the_timeout() {
    test(|project| {
        project.install_unreachable();
        let locked = RUNTIME
            .block_on(project.stack.database().connect())
            .unwrap();
        RUNTIME.block_on(run(&locked, "begin; lock table supaqueue.setting"));
        let url = project.stack.db_url();
        let line = format!("remove --db-url {url} --yes --timeout 2");
        project
            .fails(Cli::Missing, &line)
            .assert_says(&["✗ database", "did not execute a statement within 2 s"])
            .assert_says(&["--timeout allows more time"]);
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
        project.eventually(waiting, "0");
        RUNTIME.block_on(run(&locked, "rollback"));
        project.succeeds(Cli::Missing, &line);
    });
}

#[test]
fn a_database_with_a_certificate_is_verified() {
    test(|project| {
        let authority = Authority::new();
        let identity = authority.sign([HOST], 2099);
        let postgres = TlsPostgres::start(project, &identity);
        let program = Program::new();
        let ca = program.file("ca.pem", &authority.pem);
        let of_server = program.file("server.pem", &identity.pem);
        let other = program.file("other.pem", &Authority::new().pem);
        let no_certificate = program.file("none.pem", "nothing");
        let with = |file: &Path| format!("--ca {}", file.display());
        let in_url = format!("&sslrootcert={}", ca.display());
        let verified = ["connected to the database", "its certificate is verified"];
        let untrusted = ["not accepted", "no authority that is trusted"];
        #[rustfmt::skip]
        let cases = [
            (HOST, "", with(&ca), verified),
            (HOST, "&sslmode=require", with(&ca), verified),
            (HOST, "&sslmode=verify-ca", with(&ca), verified),
            (HOST, "&sslmode=verify-full&channel_binding=require", with(&ca), verified),
            (HOST, "&sslmode=require&sslnegotiation=direct", with(&ca), verified),
            (HOST, &in_url, String::new(), verified),
            // The server's own certificate is enough, and then the name does not matter.
            (HOST, "", with(&of_server), verified),
            ("other.example.com", "", with(&of_server), verified),
            ("other.example.com", "", with(&ca), ["not accepted", "not valid for name"]),
            ("other.example.com", "&sslmode=verify-ca", with(&ca), ["not accepted", "not valid for name"]),
            (HOST, "", String::new(), untrusted),
            (HOST, "", with(&other), untrusted),
            ("db.abc.supabase.co", "", String::new(), ["not accepted", "the certificate of db.abc.supabase.co"]),
            (HOST, "", with(&no_certificate), ["cannot use the certificates in", "none.pem: it has none"]),
            (HOST, "", "--ca /nowhere.pem".into(), ["cannot use the certificates in", "/nowhere.pem"]),
            (HOST, "", "--insecure-db-connection".into(), ["connected to the database", "INSECURE"]),
            ("127.0.0.1", "", String::new(), ["connected to the database", "on this machine"]),
            ("127.0.0.1", "&sslmode=require", String::new(), untrusted),
            ("127.0.0.1", "", with(&other), untrusted),
        ];
        for (host, parameters, options, want) in cases {
            let run = program.ask(&postgres.url(host, parameters), &options);
            let is_connected = want[0].starts_with("connected");
            let severity = if is_connected { "ok" } else { "failed" };
            run.assert_says(&[severity, "tools and login: ", want[0], want[1]]);
        }
        // The system's certificates are read.
        let mut command = program.command(&postgres.url(HOST, ""), "");
        program::run(command.env("SSL_CERT_FILE", &ca)).assert_says(&verified);
    });
}

/// The authentication request for the password as it is.
const CLEARTEXT_PASSWORD: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
/// The authentication request for SCRAM.
const SCRAM: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
const NO_REQUEST: &[u8] = b"";

/// A server that speaks the beginning of Postgres' protocol, and notes what it is told.
struct Server {
    port: u16,
    received: Arc<Mutex<Vec<u8>>>,
}

#[derive(Clone)]
enum Speaks {
    Tls(Arc<ServerConfig>),
    PlainText,
    OneByteOfTls,
    Nothing,
}

impl Server {
    fn start(speaks: Speaks, request: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            received: received.clone(),
        };
        // Both end with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (speaks, received) = (speaks.clone(), received.clone());
                let stream = stream.unwrap();
                // A client that breaks off is what the tests are about.
                std::thread::spawn(move || drop(serve(stream, &speaks, request, &received)));
            }
        });
        server
    }

    /// What it was told after the request for TLS.
    fn received(&self) -> Vec<u8> {
        self.received.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    speaks: &Speaks,
    request: &[u8],
    received: &Mutex<Vec<u8>>,
) -> std::io::Result<()> {
    let mut begin = [0; 8];
    stream.read_exact(&mut begin)?;
    let asks_for_tls = begin == *b"\0\0\0\x08\x04\xd2\x16\x2f";
    match speaks {
        Speaks::Tls(config) => {
            stream.write_all(b"S")?;
            let tls = ServerConnection::new(config.clone()).unwrap();
            converse(StreamOwned::new(tls, stream), &[], request, received)
        }
        Speaks::PlainText if asks_for_tls => {
            stream.write_all(b"N")?;
            converse(stream, &[], request, received)
        }
        Speaks::PlainText => converse(stream, &begin, request, received),
        Speaks::OneByteOfTls => {
            stream.write_all(b"S")?;
            std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
        }
        Speaks::Nothing => std::io::copy(&mut stream, &mut std::io::sink()).map(drop),
    }
}

/// Answers the first message with a request, and notes that and the next one.
fn converse(
    mut stream: impl Read + Write,
    begin: &[u8],
    request: &[u8],
    received: &Mutex<Vec<u8>>,
) -> std::io::Result<()> {
    received.lock().unwrap().extend_from_slice(begin);
    let mut buffer = [0; 4096];
    for answer in [request, b""] {
        let length = stream.read(&mut buffer)?;
        received
            .lock()
            .unwrap()
            .extend_from_slice(&buffer[..length]);
        stream.write_all(answer)?;
        stream.flush()?;
    }
    match request {
        // Silence is what that test is about.
        NO_REQUEST => stream.read(&mut buffer).map(drop),
        _ => Ok(()),
    }
}

/// A certificate with its key.
struct Identity {
    pem: String,
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn config(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key);
        Arc::new(config.unwrap())
    }
}

fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Identity {
        pem: certificate.pem(),
        certificate: certificate.der().clone(),
        key,
    }
}

/// An authority that signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// A certificate that is valid until the beginning of a year.
    fn sign<const N: usize>(&self, names: [&str; N], until: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.map(str::to_owned)).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key,
        }
    }
}

/// A project's Postgres, with TLS.
struct TlsPostgres {
    port: u16,
    password: String,
}

impl TlsPostgres {
    fn start(project: &Project, identity: &Identity) -> Self {
        let postgres = project.stack.postgres().unwrap();
        let data = postgres.folder().join("data");
        let owner = std::fs::metadata(&data).unwrap();
        // Postgres accepts a key only from its own user, who alone may read it.
        for (name, content) in [
            ("server.crt", identity.pem.clone()),
            ("server.key", identity.key.serialize_pem()),
        ] {
            let path = data.join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let hba = data.join("pg_hba.conf");
        let rules = std::fs::read_to_string(&hba).unwrap();
        let scram = "hostssl all postgres 127.0.0.1/32 scram-sha-256";
        std::fs::write(&hba, format!("{scram}\n{rules}")).unwrap();

        let (_, rest) = project.stack.db_url().split_once("postgres:").unwrap();
        let password = rest.split_once('@').unwrap().0.to_owned();
        let admin = RUNTIME
            .block_on(project.stack.database().connect_as_admin())
            .unwrap();
        for statement in [
            "set password_encryption = 'scram-sha-256'",
            &format!("alter role postgres password '{password}'"),
            "alter system set ssl = on",
            "select pg_reload_conf()",
        ] {
            RUNTIME.block_on(run(&admin, statement));
        }
        project.eventually("show ssl", "on");
        Self {
            port: postgres.port(),
            password,
        }
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        let Self { port, password } = self;
        format!(
            "postgresql://postgres:{password}@{host}:{port}/postgres?hostaddr=127.0.0.1{parameters}"
        )
    }
}

/// The program on a machine without a project.
struct Program {
    environment: Environment,
    folder: TempDir,
}

impl Program {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            environment: Environment::new(folder.path(), "http://127.0.0.1:9"),
            folder,
        }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, url: &str, options: &str) -> std::process::Command {
        let line = format!("doctor --db-url {url} {options}");
        program::command(&self.environment, Cli::Missing, &line)
    }

    fn ask(&self, url: &str, options: &str) -> Run {
        program::run(&mut self.command(url, options))
    }

    /// Runs the doctor on a server, and waits until that has read everything.
    fn doctor(&self, server: &Server, parameters: &str, options: &str) -> Run {
        let port = server.port;
        let url = format!(
            "postgresql://postgres:{PASSWORD}@{HOST}:{port}/postgres?hostaddr=127.0.0.1{parameters}"
        );
        let run = self.ask(&url, options);
        assert!(!run.text.contains(PASSWORD), "{}", run.text);
        let mut before = server.received();
        eventually(|| {
            std::thread::sleep(Duration::from_millis(20));
            let now = server.received();
            let is_quiet = std::mem::replace(&mut before, now) == server.received();
            is_quiet.then_some(()).ok_or(|| "it receives on".into())
        });
        run
    }
}
