//! How to reach a server of Sutra with tonic: the stubs, TLS, a token, deadlines, retries.

use std::env;
use std::error::Error;
use std::fs;
use std::time::Duration;

use tonic::codegen::InterceptedService;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, TimeoutExpired};

/// What `build.rs` has made of the repository's `proto/`.
pub mod v1 {
    tonic::include_proto!("sutra.v1");
    /// The protos themselves, for reflection.
    pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("sutra");
}

/// What Sutra sends and takes at most; tonic's own limit for what arrives is 4 MiB.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// A channel that sends a token with every call, if there is one.
pub type Connection = InterceptedService<Channel, Bearer>;

#[derive(Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    pub fn new(token: &str) -> Result<Self, Box<dyn Error>> {
        Ok(Bearer(Some(format!("Bearer {token}").parse()?)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Connects after `SUTRA_ADDRESS`, `SUTRA_TLS_CA` (the file of an authority's certificate) and `SUTRA_TOKEN`.
pub async fn connect_from_environment() -> Result<Connection, Box<dyn Error>> {
    let address = variable("SUTRA_ADDRESS").unwrap_or("127.0.0.1:7400".into());
    let (ca, token) = (variable("SUTRA_TLS_CA"), variable("SUTRA_TOKEN"));
    if token.is_some() && ca.is_none() {
        return Err("SUTRA_TOKEN needs SUTRA_TLS_CA: a token is not sent in clear".into());
    }
    let tls = ca.map(|file| trusting(&file)).transpose()?;
    let channel = endpoint(&address, tls)?.connect().await?;
    let bearer = token.map(|token| Bearer::new(&token)).transpose()?;
    Ok(InterceptedService::new(channel, bearer.unwrap_or_default()))
}

/// TLS with one authority, whose certificate (PEM) lies in @ca.
pub fn trusting(ca: &str) -> Result<ClientTlsConfig, Box<dyn Error>> {
    let pem = fs::read(ca).map_err(|error| format!("{ca}: {error}"))?;
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

pub fn endpoint(address: &str, tls: Option<ClientTlsConfig>) -> Result<Endpoint, Box<dyn Error>> {
    Ok(match tls {
        Some(tls) => Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?,
        None => Endpoint::from_shared(format!("http://{address}"))?,
    })
}

/// An environment variable that is set and not empty.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A request that both sides give up after @timeout.
pub fn within<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// What tonic names otherwise than gRPC's other libraries: a deadline that has passed on this side is DEADLINE_EXCEEDED
/// (tonic: CANCELLED), a connection that broke, or was none of HTTP/2, is UNAVAILABLE (tonic: UNKNOWN or CANCELLED).
pub fn by_usual_name(status: Status) -> Status {
    let caused_by = |test: fn(&(dyn Error + 'static)) -> bool| causes(&status).any(test);
    match status.code() {
        Code::Cancelled if caused_by(|cause| cause.is::<TimeoutExpired>()) => {
            Status::deadline_exceeded(status.message())
        }
        Code::Unknown | Code::Cancelled if caused_by(|cause| cause.is::<tonic::transport::Error>()) => {
            Status::unavailable(with_causes(status.message().into(), &status))
        }
        _ => status,
    }
}

/// What an error says, and its causes, which tell why a connection failed.
pub fn explain(error: &(dyn Error + 'static)) -> String {
    let text = match error.downcast_ref::<Status>() {
        Some(status) => format!("{:?}: {}", status.code(), status.message()),
        None => error.to_string(),
    };
    with_causes(text, error)
}

fn with_causes(text: String, error: &(dyn Error + 'static)) -> String {
    causes(error)
        .map(ToString::to_string)
        .fold(text, |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// tonic reads no service config: this repeats a call as deploy/service-config.json says, up to five times in all while it
/// ends with UNAVAILABLE. For calls that may be repeated; Reinforce may not.
pub async fn retrying<T>(mut call: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Status> {
    for wait in [50, 150, 450, 1000].map(Duration::from_millis) {
        match call().await.map_err(by_usual_name) {
            Err(status) if status.code() == Code::Unavailable => tokio::time::sleep(wait).await,
            ended => return ended,
        }
    }
    call().await.map_err(by_usual_name)
}
