//! Puts the network of production back between a server and its database.
//!
//! On one machine a statement costs microseconds of travel; across a data centre it costs half a millisecond, across zones
//! one or two. A relay on loopback holds every answer of the database back by that time. Plain threads do it: an async
//! timer rounds to the millisecond, and the relay must not share a runtime with what it delays.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that travel together.
const SEGMENT: usize = 64 * 1024;

/// Listens on a free loopback port, as long as the process lives, and relays each connection to `database` with `rtt` more
/// between a question and its answer.
pub fn relay(database: SocketAddr, rtt: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("db-rtt".into()).spawn(move || {
        for client in listener.incoming().flatten() {
            // A connection that cannot be relayed is closed, as by a network that is down.
            let _ = carry(client, database, rtt);
        }
    })?;
    Ok(address)
}

fn carry(client: TcpStream, database: SocketAddr, rtt: Duration) -> io::Result<()> {
    let server = TcpStream::connect(database)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;

    let (questions, to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || pump(questions, to_server));

    let (send, receive) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut answers = server;
        let mut buffer = vec![0; SEGMENT];
        while let Ok(length @ 1..) = answers.read(&mut buffer) {
            if send.send((Instant::now() + rtt, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        let mut client = client;
        for (due, bytes) in receive {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if client.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Copies until either side closes, then closes the other.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_answered_not_before_the_round_trip_is_over() {
        let database = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = database.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = database.accept().unwrap();
            let mut question = [0; 4];
            while stream.read_exact(&mut question).is_ok() {
                question.reverse();
                stream.write_all(&question).unwrap();
            }
        });

        let rtt = Duration::from_millis(3);
        let mut client = TcpStream::connect(relay(address, rtt).unwrap()).unwrap();
        for _ in 0..3 {
            let asked = Instant::now();
            client.write_all(b"abcd").unwrap();
            let mut answer = [0; 4];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"dcba");
            assert!(asked.elapsed() >= rtt);
        }
    }

    #[test]
    fn a_database_that_is_down_closes_the_connection() {
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let mut client = TcpStream::connect(relay(nobody, Duration::from_millis(1)).unwrap()).unwrap();
        assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
    }
}
