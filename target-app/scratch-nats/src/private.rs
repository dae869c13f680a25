//! A private server: its configuration, and the process that runs it.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use scratch_server::{Area, Kind, POLL, Run, Signal, Supervised};
use serde::Deserialize;
use tokio::net::TcpSocket;

use crate::address::Address;
use crate::program::Program;
use crate::protocol::{Login, Refusal, check};
use crate::{NatsError, Project};

/// What is particular about NATS.
pub(crate) static NATS: Kind = Kind {
    name: "nats",
    users: &["nats", "nobody"],
    variables: "NATS_",
    stop: Signal::TERM,
    pid_file: "nats.pid",
    // The server's own files are small; the rest is for messages.
    room_bytes: 64 << 20,
    // All it has is in its directory.
    free: |_| None,
};

/// Stands for the port that the server chooses.
const CHOOSE: u16 = 0;

/// How long a server may take until it answers.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// What the streams may hold in files, and in memory.
const FILE_BYTES: u64 = 1 << 30;
const MEMORY_BYTES: u64 = 256 << 20;

/// The file with the settings, in the run's directory.
const CONFIG: &str = "nats.conf";

/// The settings, where they are not the server's own. Only the server's user can read them, because the password is among
/// them: it keeps other users of this machine out. It travels in the clear, on loopback.
///
/// `sync_interval` stays two minutes, as in production: what a killed server has acknowledged is with the system, and only a
/// power cut could lose it.
fn config(name: &str, user: &str, password: &str) -> String {
    format!(
        r#"server_name: "{name}"
host: "127.0.0.1"
authorization {{ user: "{user}", password: "{password}" }}
# Enough for several services with a connection or more each, and for code that leaks connections.
max_connections: 1000
max_payload: 1MB
jetstream {{ max_memory_store: {MEMORY_BYTES}, max_file_store: {FILE_BYTES} }}
"#
    )
}

/// A running private server. Dropping it ends the server soon after; [`Private::stop`] waits for it.
pub(crate) struct Private {
    project: Project,
    server: Supervised,
    program: Program,
    address: Address,
    /// Held by whoever kills or starts the server, so that one does it at a time.
    acting: tokio::sync::Mutex<()>,
    /// Keeps the port for this server, also while it is down.
    _port: Option<TcpSocket>,
}

impl Private {
    /// Starts a server with nothing in its store. Returns its version, too.
    pub(crate) async fn start(area: &Area, program: Program) -> Result<(Self, String), NatsError> {
        let run = area.new_run(FILE_BYTES).await?;
        let place = run.place().to_path_buf();
        let name = format!("{}-{}", area.project.name(), run.id());
        let user = area.project.name();
        let password = format!("{:032x}", rand::random::<u128>());
        write_config(area, &run, &config(&name, user, &password))?;

        let (kept, port) = keep_port().map_or((None, CHOOSE), |(kept, port)| (Some(kept), port));
        let command_line = command_line(&program, &run, port);
        let server = Supervised::start(run, &command_line)?;
        let login = Login::User { name: user.to_owned(), password };
        let address = Address { host: Ipv4Addr::LOCALHOST.to_string(), port, login };
        let acting = tokio::sync::Mutex::default();
        let mut private = Self { project: area.project, server, program, address, acting, _port: kept };
        match private.first_ready().await {
            Ok(version) => Ok((private, version)),
            Err(reason) => {
                let error = private.did_not_start(reason);
                // Before the run's directory goes, and with it the reason.
                let error = area.full_disk(&place, error.to_string()).map_or(error, NatsError::from);
                private.stop().await;
                Err(error)
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        self.address.url()
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program.path
    }

    pub(crate) async fn kill(&self) -> Result<(), NatsError> {
        let _acting = self.acting.lock().await;
        Ok(self.server.kill().await?)
    }

    pub(crate) async fn restart(&self) -> Result<(), NatsError> {
        let _acting = self.acting.lock().await;
        self.server.kill().await?;
        self.server.start_again(&command_line(&self.program, self.server.run(), self.address.port))?;
        let ready = self.ready(Instant::now() + START_DEADLINE).await;
        ready.map(|_| ()).map_err(|reason| self.did_not_start(reason))
    }

    /// Resolves when the server has ended although nobody asked it to.
    pub(crate) async fn lost(&self) -> NatsError {
        let reason = self.server.lost().await;
        NatsError::Lost { reason, log: self.server.last_words(6) }
    }

    /// Ends the server, and returns when it is gone and its files with it.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }

    fn did_not_start(&self, reason: String) -> NatsError {
        NatsError::Start { reason, log: self.server.last_words(12), project: self.project }
    }

    /// Waits until the server is ready, and learns its port if it chose that itself.
    async fn first_ready(&mut self) -> Result<String, String> {
        let deadline = Instant::now() + START_DEADLINE;
        while self.address.port == CHOOSE {
            match chosen_port(&self.server.run().dir) {
                Some(port) => self.address.port = port,
                None => self.pause(deadline, "it did not say which port it listens on").await?,
            }
        }
        self.ready(deadline).await
    }

    /// Waits until JetStream answers, and returns the server's version.
    async fn ready(&self, deadline: Instant) -> Result<String, String> {
        loop {
            // Somebody else's server, had it taken the port, would not know the password.
            let answer = tokio::time::timeout(Duration::from_secs(5), check(&self.address)).await;
            let reason = match answer {
                Ok(Ok(version)) => return Ok(version),
                Ok(Err(Refusal::Unreachable(reason) | Refusal::NoJetStream(reason))) => reason,
                Ok(Err(Refusal::Login(reason))) => format!("its port may be another server's: {reason}"),
                Ok(Err(refusal)) => format!("{refusal:?}"),
                Err(_) => "no answer to a connection".into(),
            };
            self.pause(deadline, &reason).await?;
        }
    }

    /// Waits a moment for a server that is not ready for `reason`, if it runs and has time left.
    async fn pause(&self, deadline: Instant, reason: &str) -> Result<(), String> {
        if let Some(status) = self.server.ended() {
            return Err(status);
        }
        if Instant::now() > deadline {
            return Err(format!("it is not ready after {} s: {reason}", START_DEADLINE.as_secs()));
        }
        tokio::time::sleep(POLL).await;
        Ok(())
    }
}

/// The server's files are named on the command line, where no path has to be quoted.
fn command_line(program: &Program, run: &Run, port: u16) -> Vec<OsString> {
    let in_run = |file: &str| run.dir.join(file).into_os_string();
    let port = if port == CHOOSE { "-1".to_owned() } else { port.to_string() };
    vec![
        program.path.clone().into(),
        "-c".into(),
        in_run(CONFIG),
        "-sd".into(),
        in_run("store"),
        "-P".into(),
        in_run(NATS.pid_file),
        "--ports_file_dir".into(),
        run.dir.clone().into(),
        "-p".into(),
        port.into(),
    ]
}

fn write_config(area: &Area, run: &Run, config: &str) -> Result<(), NatsError> {
    let path = run.dir.join(CONFIG);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(config.as_bytes())?;
        area.user.give(&path)
    };
    write().map_err(|error| area.io(&path, error).into())
}

/// The port that the server wrote into a file in its directory, when it has done so.
fn chosen_port(dir: &Path) -> Option<u16> {
    #[derive(Deserialize)]
    struct Ports {
        nats: Vec<String>,
    }
    let mut files = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let file = files.find(|path| path.extension().is_some_and(|extension| extension == "ports"))?;
    // Until it is complete, it is no JSON.
    let ports: Ports = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    ports.nats.first()?.rsplit_once(':')?.1.parse().ok()
}

/// Binds a free port without listening on it. Linux lets the server listen there, and gives the port to nobody else who asks for
/// any: not even to a client that tries to connect while the server is down, and would then be connected with itself. Elsewhere
/// the server chooses its port: one that was chosen for it might be another's by then.
fn keep_port() -> Option<(TcpSocket, u16)> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let socket = TcpSocket::new_v4().ok()?;
    socket.set_reuseaddr(true).ok()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).ok()?;
    let port = socket.local_addr().ok()?.port();
    Some((socket, port))
}
