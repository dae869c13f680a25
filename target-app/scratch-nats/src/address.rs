//! Where a server is and how it lets one in: the URL, read and written.

use std::ffi::OsStr;
use std::time::Duration;

use crate::NatsError;
use crate::protocol::{Login, Refusal, check};

/// A server that has not answered by then is not there.
const DEADLINE: Duration = Duration::from_secs(5);

const SCHEME: &str = "nats://";
const DEFAULT_PORT: u16 = 4222;

/// A server's address with the login for it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or an address; one of IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) login: Login,
}

impl Address {
    /// The server that `NATS_URL` names, and the URL as a text.
    pub(crate) fn given(url: &OsStr) -> Result<(String, Self), NatsError> {
        let read = url.to_str().ok_or("it is not valid UTF-8").and_then(|url| Ok((url, Self::read(url)?)));
        read.map(|(url, address)| (url.to_owned(), address)).map_err(|reason| NatsError::Url { reason })
    }

    fn read(url: &str) -> Result<Self, &'static str> {
        let rest = url.strip_prefix(SCHEME).ok_or("it does not begin with nats://")?;
        if rest.contains(',') {
            return Err("it names more than one server");
        }
        if rest.contains(char::is_whitespace) {
            return Err("there is a space in it");
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, server) =
            rest.split_once('@').map_or((None, rest), |(login, server)| (Some(login), server));
        if server.contains('@') {
            return Err("there is more than one @ in it");
        }
        let login = match login
            .map(|login| login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p))))
        {
            None => Login::None,
            Some(("", _)) => return Err("there is no user before the @"),
            Some((token, None)) => Login::Token(decode(token)?),
            Some((user, Some(password))) => Login::User { name: decode(user)?, password: decode(password)? },
        };
        let (host, port) = match server.strip_prefix('[').map(|server| server.split_once(']')) {
            Some(Some((host, rest))) => (host, rest),
            Some(None) => return Err("a [ in it has no ]"),
            None => server.split_at(server.find(':').unwrap_or(server.len())),
        };
        if host.is_empty() {
            return Err("there is no host in it");
        }
        if host.contains(['/', '?', '#']) {
            return Err("something follows the host");
        }
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port != 0),
            None => port.is_empty().then_some(DEFAULT_PORT),
        };
        let port = port.ok_or("what follows the host is not a port from 1 to 65535")?;
        Ok(Self { host: host.to_owned(), port, login })
    }

    /// As a URL, for a client. The login is not encoded, so it must not need it.
    pub(crate) fn url(&self) -> String {
        self.write(|login| match login {
            Login::None => String::new(),
            Login::Token(token) => format!("{token}@"),
            Login::User { name, password } => format!("{name}:{password}@"),
        })
    }

    /// As a URL without its secrets, for messages.
    pub(crate) fn masked(&self) -> String {
        self.write(|login| match login {
            Login::None => String::new(),
            Login::Token(_) => "***@".into(),
            Login::User { name, .. } => format!("{name}:***@"),
        })
    }

    fn write(&self, login: impl Fn(&Login) -> String) -> String {
        let Self { host, port, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!("{SCHEME}{}{host}:{port}", login(&self.login))
    }

    /// Looks whether the given server can be used, and returns its version.
    pub(crate) async fn check_given(&self) -> Result<String, NatsError> {
        let url = self.masked();
        let answer = tokio::time::timeout(DEADLINE, check(self)).await.unwrap_or_else(|_| {
            Err(Refusal::Unreachable(format!("no answer within {} s", DEADLINE.as_secs())))
        });
        answer.map_err(|refusal| match refusal {
            Refusal::Unreachable(reason) => NatsError::Unreachable { url, reason },
            Refusal::Tls => NatsError::Tls { url },
            Refusal::TooOld { version } => NatsError::TooOld { url, version },
            Refusal::Login(reason) => NatsError::Login { url, reason },
            Refusal::NoJetStream(reason) => NatsError::NoJetStream { url, reason },
        })
    }
}

/// Replaces `%` and two digits by the byte that they stand for.
fn decode(text: &str) -> Result<String, &'static str> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or("a % in its login is not followed by two hexadecimal digits")?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map_err(|_| "its login is not valid UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, password: &str) -> Login {
        Login::User { name: name.into(), password: password.into() }
    }

    #[test]
    fn urls_are_read_and_shown_without_their_secrets() {
        for (url, host, port, login, masked) in [
            ("nats://db", "db", 4222, Login::None, "nats://db:4222"),
            ("nats://127.0.0.1:14222/", "127.0.0.1", 14222, Login::None, "nats://127.0.0.1:14222"),
            ("nats://[::1]:99", "::1", 99, Login::None, "nats://[::1]:99"),
            ("nats://[::1]", "::1", 4222, Login::None, "nats://[::1]:4222"),
            ("nats://me:secret@db:1", "db", 1, user("me", "secret"), "nats://me:***@db:1"),
            ("nats://me:s%40%3a%c3%bc@db", "db", 4222, user("me", "s@:ü"), "nats://me:***@db:4222"),
            ("nats://me:@db", "db", 4222, user("me", ""), "nats://me:***@db:4222"),
            ("nats://secret@db", "db", 4222, Login::Token("secret".into()), "nats://***@db:4222"),
        ] {
            let address = Address::read(url).unwrap_or_else(|reason| panic!("{url}: {reason}"));
            assert_eq!((address.host.as_str(), address.port), (host, port), "{url}");
            assert!(address.login == login, "{url}");
            assert_eq!(address.masked(), masked);
        }
    }

    #[test]
    fn texts_that_are_no_url_are_refused_without_being_repeated() {
        for url in [
            "",
            "secret",
            "db:4222",
            "me:secret@db",
            "http://secret@db",
            "tls://secret@db",
            "nats://",
            "nats://:4222",
            "nats://me:secret",
            "nats://me:secret@",
            "nats://@secret",
            "nats://:secret@db",
            "nats://me:se@cret@db",
            "nats://me:se/cret@db:0",
            "nats://db:65536",
            "nats://db:-1",
            "nats://db/secret",
            "nats://db:4222/secret",
            "nats://db?password=secret",
            "nats://[::1",
            "nats://[::1]secret",
            "nats://a:1,nats://b:2",
            "nats://me:sec ret@db",
            "nats://me:%zz@db",
            "nats://me:%4@db",
            "nats://me:%ff@db",
            "nats://me:%é@db",
        ] {
            let Err(error) = Address::given(url.as_ref()) else { panic!("{url} is taken for a URL") };
            assert!(error.to_string().starts_with("NATS_URL is not the URL of a NATS server: "), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
