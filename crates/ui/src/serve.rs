//! The server: one thread with an event loop, a few more for queries. It ends when its [`Server`] is dropped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::routing::get;
use store::Reader;
use tokio::sync::oneshot;

use crate::caller::Caller;
use crate::{UiError, api, guard, page};

/// Threads for queries.
const QUERY_THREADS: usize = 4;

/// A page that is being served.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Where it is; the port is the real one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to type into a browser.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Whether other machines can reach it.
    pub fn is_exposed(&self) -> bool {
        !self.address.ip().is_loopback()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the thread is gone already.
        self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(JoinHandle::join);
    }
}

/// Serves the page and the API for a store. Listening has begun when this returns.
pub fn serve(reader: Reader, address: SocketAddr) -> Result<Server, UiError> {
    let listener = TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|why| UiError::Listen { address, why })?;
    let address = listener.local_addr().map_err(|why| UiError::Listen { address, why })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(QUERY_THREADS)
        .thread_name("tandem-ui-query")
        .build()
        .map_err(UiError::Thread)?;
    let (stop, stopped) = oneshot::channel();
    let router = router(Arc::new(reader));
    let thread = std::thread::Builder::new()
        .name("tandem-ui".into())
        .spawn(move || {
            runtime.block_on(async move {
                match tokio::net::TcpListener::from_std(listener) {
                    // A dropped sender means stop, too.
                    Ok(listener) => tokio::select! {
                        ended = async { axum::serve(listener, router.into_make_service_with_connect_info::<Caller>()).await } => drop(ended),
                        _ = stopped => {}
                    },
                    Err(error) => tracing::error!(%error, "the page cannot be served"),
                }
            });
            // Queries that still run are not waited for.
            runtime.shutdown_background();
        })
        .map_err(UiError::Thread)?;
    Ok(Server { address, stop: Some(stop), thread: Some(thread) })
}

fn router(reader: Arc<Reader>) -> Router {
    Router::new()
        .route("/api/traces", get(api::traces))
        .route("/api/traces/{id}", get(api::trace))
        .route("/api/services", get(api::services))
        .route("/api/{*rest}", get(api::unknown))
        .with_state(reader)
        .fallback(page::asset)
        .layer(axum::middleware::from_fn(guard::guard))
}
