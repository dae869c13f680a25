//! As much of NATS's protocol as it takes to see that a server can be used. It consists of lines, so this needs no client.

use std::io;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::address::Address;
use crate::program::is_too_old;

/// A server's lines are shorter, and what is longer is no such server.
const LINE_BYTES: u64 = 64 << 10;

/// How many lines a server may send before it answers.
const LINES: usize = 100;

/// How a server lets one in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    None,
    Token(String),
    User { name: String, password: String },
}

/// Why a server cannot be used.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nobody answers, or what answers is no NATS server.
    Unreachable(String),
    Tls,
    TooOld {
        version: String,
    },
    Login(String),
    NoJetStream(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error.to_string())
    }
}

/// What a server says of itself before anybody asks.
#[derive(Debug, Deserialize)]
struct Info {
    version: String,
    #[serde(default)]
    jetstream: bool,
    #[serde(default)]
    tls_required: bool,
}

/// Connects to a server, logs in and asks JetStream for its state. Returns the server's version.
pub(crate) async fn check(address: &Address) -> Result<String, Refusal> {
    let mut connection = Connection::open(address).await?;
    let line = connection.line().await?;
    let info: Option<Info> = line.strip_prefix("INFO ").and_then(|info| serde_json::from_str(info).ok());
    let info = info.ok_or_else(|| Refusal::Unreachable("what answers is no NATS server".into()))?;
    if info.tls_required {
        return Err(Refusal::Tls);
    }
    if is_too_old(&info.version) {
        return Err(Refusal::TooOld { version: info.version });
    }
    if !info.jetstream {
        return Err(Refusal::NoJetStream("it is off".into()));
    }
    connection.log_in(&address.login).await?;
    connection.ask_jetstream().await?;
    Ok(info.version)
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(address: &Address) -> io::Result<Self> {
        Ok(Self(BufReader::new(TcpStream::connect((address.host.as_str(), address.port)).await?)))
    }

    async fn send(&mut self, lines: &str) -> io::Result<()> {
        self.0.get_mut().write_all(lines.as_bytes()).await
    }

    /// The next line, without its end.
    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        (&mut self.0).take(LINE_BYTES).read_line(&mut line).await?;
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None if line.is_empty() => Err(io::Error::other("the server closed the connection")),
            None => Err(io::Error::other("what answers is no NATS server")),
        }
    }

    async fn log_in(&mut self, login: &Login) -> Result<(), Refusal> {
        let mut options = json!({
            "verbose": false, "pedantic": false, "lang": "rust", "version": env!("CARGO_PKG_VERSION"),
            "name": "scratch-nats", "headers": true, "no_responders": true,
        });
        match login {
            Login::None => {}
            Login::Token(token) => options["auth_token"] = json!(token),
            Login::User { name, password } => {
                options["user"] = json!(name);
                options["pass"] = json!(password);
            }
        }
        self.send(&format!("CONNECT {options}\r\nPING\r\n")).await?;
        for _ in 0..LINES {
            let line = self.line().await?;
            match line.split_once(' ').map_or((line.as_str(), ""), |(word, rest)| (word, rest)) {
                ("PONG", _) => return Ok(()),
                ("-ERR", reason) => {
                    let reason = reason.trim_matches('\'').to_owned();
                    let is_login = reason.starts_with("Auth") || reason.starts_with("User Auth");
                    return Err(if is_login { Refusal::Login(reason) } else { Refusal::Unreachable(reason) });
                }
                _ => {}
            }
        }
        Err(Refusal::Unreachable("it does not answer to a login".into()))
    }

    /// That JetStream is on for the server does not say that it is for the account of this user.
    async fn ask_jetstream(&mut self) -> Result<(), Refusal> {
        let inbox = format!("_INBOX.{:032x}", rand::random::<u128>());
        self.send(&format!("SUB {inbox} 1\r\nPUB $JS.API.INFO {inbox} 0\r\n\r\n")).await?;
        for _ in 0..LINES {
            let line = self.line().await?;
            let mut words = line.split(' ');
            match words.next() {
                Some("PING") => self.send("PONG\r\n").await?,
                // Nobody listens to that subject.
                Some("HMSG") => return Err(Refusal::NoJetStream("it is off for the user's account".into())),
                Some("-ERR") => {
                    let reason = line.trim_start_matches("-ERR ").trim_matches('\'');
                    return Err(Refusal::NoJetStream(reason.to_owned()));
                }
                Some("MSG") => {
                    let answer = self.line().await?;
                    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
                    return match answer.get("error") {
                        Some(error) => {
                            let reason = error["description"].as_str().unwrap_or("it answers with an error");
                            Err(Refusal::NoJetStream(reason.to_owned()))
                        }
                        None => Ok(()),
                    };
                }
                _ => {}
            }
        }
        Err(Refusal::NoJetStream("it does not answer".into()))
    }
}
