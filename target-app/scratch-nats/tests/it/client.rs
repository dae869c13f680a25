//! As much of a client as the tests need: the protocol consists of lines.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

/// A connection with one subscription, to the subject that answers come to.
pub struct Client {
    stream: BufReader<TcpStream>,
    /// What the server says of itself.
    pub info: String,
}

const INBOX: &str = "_INBOX.test";

impl Client {
    pub fn connect(url: &str) -> Self {
        let (user, server) = url.strip_prefix("nats://").unwrap().split_once('@').unwrap();
        let (user, password) = user.split_once(':').unwrap();
        let stream = TcpStream::connect(server).expect("the server accepts connections");
        // A test that waits for an answer that does not come should fail.
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut client = Self { stream: BufReader::new(stream), info: String::new() };
        client.info = client.line();
        let options = json!({ "verbose": false, "user": user, "pass": password });
        client.send(&format!("CONNECT {options}\r\nSUB {INBOX} 1\r\nPING\r\n"));
        while client.line() != "PONG" {}
        client
    }

    fn send(&mut self, lines: &str) {
        self.stream.get_mut().write_all(lines.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(!line.starts_with("-ERR") && !line.is_empty(), "{line:?}");
        line.trim_end().to_owned()
    }

    /// Sends a message and returns the answer to it.
    pub fn request(&mut self, subject: &str, payload: &str) -> String {
        self.send(&format!("PUB {subject} {INBOX} {}\r\n{payload}\r\n", payload.len()));
        loop {
            let line = self.line();
            match line.split(' ').next() {
                Some("PING") => self.send("PONG\r\n"),
                Some("MSG") => {
                    let length: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
                    let mut answer = vec![0; length + 2];
                    self.stream.read_exact(&mut answer).unwrap();
                    return String::from_utf8(answer).unwrap();
                }
                _ => {}
            }
        }
    }

    /// Makes a stream in files that takes what is published below its name.
    pub fn create_stream(&mut self, name: &str) {
        let config = json!({ "name": name, "subjects": [format!("{name}.>")], "storage": "file" });
        let answer = self.request(&format!("$JS.API.STREAM.CREATE.{name}"), &config.to_string());
        assert!(!answer.contains("\"error\""), "{answer}");
    }

    /// Publishes a message, and waits until its stream has acknowledged it.
    pub fn publish(&mut self, subject: &str, payload: &str) {
        let answer = self.request(subject, payload);
        assert!(answer.contains("\"seq\""), "{answer}");
    }

    /// How many messages the stream holds; none if there is no such stream.
    pub fn messages(&mut self, stream: &str) -> Option<u64> {
        let answer = self.request(&format!("$JS.API.STREAM.INFO.{stream}"), "");
        let answer: Value = serde_json::from_str(&answer).expect(&answer);
        answer["state"]["messages"].as_u64()
    }

    /// Whether the server has closed the connection. Waits for it.
    pub fn is_cut_off(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}
