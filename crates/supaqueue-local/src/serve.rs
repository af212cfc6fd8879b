//! An HTTP/1 server whose connections end with it.

use axum::serve::{Listener, ListenerExt};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves `listener` until the future is dropped, which cuts all connections, as a crash does.
///
/// `axum::serve` would leave them open. Its listener is used, though: it pauses when file
/// descriptors run out.
pub async fn serve<S, B>(listener: TcpListener, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    // Failing to disable Nagle's algorithm only costs latency.
    let mut listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    // Dropping the set aborts its tasks.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (stream, _) = listener.accept() => {
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
                connections.spawn(async {
                    // A client that disconnects is not our error.
                    let _ = connection.await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::{SocketAddr, TcpStream};
    use std::process::Command;
    use std::time::Duration;

    use hyper::service::service_fn;
    use nix::errno::Errno;
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;

    use super::*;

    async fn start() -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = service_fn(async |_| Ok::<_, Infallible>(Response::new("hello".to_owned())));
        (address, tokio::spawn(serve(listener, service)))
    }

    /// What one connection answers until it closes.
    async fn get(address: SocketAddr) -> std::io::Result<String> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: local\r\nconnection: close\r\n\r\n")
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    #[tokio::test]
    async fn connections_are_cut_when_the_server_is_aborted() {
        use tokio::io::AsyncReadExt;
        let (address, serving) = start().await;
        let mut idle = tokio::net::TcpStream::connect(address).await.unwrap();
        // Accepted later than the idle connection, so that one is accepted too.
        assert!(get(address).await.unwrap().ends_with("hello"));
        serving.abort();
        let _ = serving.await;
        assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }

    /// Runs the test below in a process of its own, in which few files may be open.
    #[test]
    fn running_out_of_file_descriptors_only_pauses_the_server() {
        let output = Command::new("/bin/sh")
            .args(["-c", "ulimit -n 60; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "serve::tests::out_of_file_descriptors"])
            .env("FEW_FILE_DESCRIPTORS", "yes")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn out_of_file_descriptors() {
        if std::env::var_os("FEW_FILE_DESCRIPTORS").is_none() {
            return;
        }
        let (address, _serving) = start().await;
        let mut clients = Vec::new();
        let error = loop {
            match TcpStream::connect(address) {
                Ok(client) => clients.push(client),
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(Errno::EMFILE as i32));
        let cpu = || {
            let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
            (usage.user_time() + usage.system_time()).num_milliseconds()
        };
        let before = cpu();
        tokio::time::sleep(Duration::from_millis(800)).await;
        let used = cpu() - before;
        assert!(used < 100, "{used} ms of CPU time in 800 ms");

        drop(clients);
        let answer = tokio::time::timeout(Duration::from_secs(10), get(address)).await;
        assert!(answer.unwrap().unwrap().ends_with("hello"));
    }
}
