//! The server: one thread with an event loop, a few more for queries. It ends when its [`Server`] is dropped.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::routing::{get, post};
use store::Reader;
use tokio::sync::oneshot;

use crate::caller::Caller;
use crate::host::Host;
use crate::token::Token;
use crate::{
    UiError, api, compare, drawing, flame, guard, health, host, map, metrics, overview, page, routes, software,
};

/// Threads for queries.
const QUERY_THREADS: usize = 4;

/// A page that is being served.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Of a page that others can reach.
    token: Option<Token>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Where it is; the port is the real one.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to type into a browser. Where others can reach it, the token is in it.
    pub fn url(&self) -> String {
        let query = self.token.as_ref().map(Token::query).unwrap_or_default();
        format!("http://{}/{query}", self.address)
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

/// What answers are made of.
#[derive(Clone)]
pub struct Sources {
    pub reader: Arc<Reader>,
    /// Nothing, where there is only a store.
    pub host: Option<Arc<dyn Host>>,
}

/// Serves the page and the API for a store. Listening has begun when this returns.
pub fn serve(reader: Reader, address: SocketAddr) -> Result<Server, UiError> {
    serve_sources(Sources { reader: Arc::new(reader), host: None }, address)
}

/// The same with what only the program knows that serves it.
pub fn serve_with(reader: Reader, host: Arc<dyn Host>, address: SocketAddr) -> Result<Server, UiError> {
    serve_sources(Sources { reader: Arc::new(reader), host: Some(host) }, address)
}

fn serve_sources(sources: Sources, address: SocketAddr) -> Result<Server, UiError> {
    let listener = TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|why| UiError::Listen { address, why })?;
    let address = listener.local_addr().map_err(|why| UiError::Listen { address, why })?;
    let token =
        (!address.ip().is_loopback()).then(|| Token::new(address.port())).transpose().map_err(UiError::Token)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(QUERY_THREADS)
        .thread_name("tandem-ui-query")
        .build()
        .map_err(UiError::Thread)?;
    let (stop, stopped) = oneshot::channel();
    let router = router(sources, token.clone());
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
    Ok(Server { address, token, stop: Some(stop), thread: Some(thread) })
}

fn router(sources: Sources, token: Option<Token>) -> Router {
    let reader = Arc::clone(&sources.reader);
    Router::new()
        .route("/api/health", get(health::health).with_state(sources.clone()))
        .route("/api/problems", get(health::problems).with_state(sources.clone()))
        .route("/api/in-flight", get(host::in_flight).with_state(sources.clone()))
        .route("/api/advice", get(host::advice).with_state(sources.clone()))
        .route("/api/enable", post(host::enable).with_state(sources))
        .route("/api/traces", get(api::traces))
        .route("/api/traces/{id}", get(api::trace))
        .route("/api/complete", get(api::complete))
        .route("/api/traces/{id}/drawing", get(drawing::drawing))
        .route("/api/traces/{id}/spans/{span}", get(drawing::span))
        .route("/api/traces/{id}/logs", get(drawing::logs))
        .route("/api/overview", get(overview::overview))
        .route("/api/compare", get(compare::compare))
        .route("/api/builds", get(compare::builds))
        .route("/api/routes", get(routes::routes))
        .route("/api/diagnosis", get(routes::diagnosis))
        .route("/api/flame", get(flame::flame))
        .route("/api/software", get(software::software))
        .route("/api/map", get(map::map))
        .route("/api/metrics", get(metrics::metrics))
        .route("/api/services", get(api::services))
        .route("/api/{*rest}", get(api::unknown))
        .with_state(reader)
        .fallback(page::asset)
        .layer(axum::middleware::from_fn_with_state(token, guard::guard))
}
