//! A connection that falls silent while new ones would be served: a NAT that forgot it, a peer that
//! vanished.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use lock_core::{LockClient, LockOptions};
use lock_redis::RedisOptions;

use crate::server::Server;

/// Passes connections on to the server; those numbered below `silent` get no answer any more.
fn relay(server: &Server) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = Arc::new(AtomicUsize::new(0));
    let (below, upstream) = (Arc::clone(&silent), server.port());
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let mut client = client.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", upstream)).unwrap();
            let (mut from_client, mut to_server) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
            let below = Arc::clone(&below);
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = server.read(&mut buffer) {
                    if number >= below.load(Ordering::Relaxed)
                        && client.write_all(&buffer[..n]).is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (port, silent)
}

#[tokio::test]
async fn a_silent_connection_is_replaced_though_its_callers_wait_less_than_its_bound() {
    let server = Server::start().await;
    let (port, silent) = relay(&server);
    let backend = RedisOptions::new(&format!("redis://127.0.0.1:{port}/"))
        .unwrap()
        .request_timeout(Duration::from_secs(1))
        .connect()
        .await
        .unwrap();
    let options = LockOptions::builder()
        .request_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let locks = LockClient::builder(backend).options(options).build();
    let mutex = locks.mutex::<()>("x").unwrap();
    mutex.lock().await.unwrap().release().await.unwrap();
    silent.store(1, Ordering::Relaxed);
    mutex.lock().await.unwrap().release().await.unwrap();
}
