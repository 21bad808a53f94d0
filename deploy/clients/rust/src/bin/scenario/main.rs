//! Walks `deploy/clients/scenario.json`; `deploy/clients/README.md` says how it is read. One line per step, then the count.

mod calls;
mod matching;

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use calls::{Method, Outcome, Settings};
use matching::{Failure, expand, look_up, matches, number};
use prost_reflect::DescriptorPool;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sutra_client::{Bearer, Connection, endpoint, trusting, variable};
use tonic::codegen::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig};

const AGAIN: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
struct File {
    format: u32,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    name: String,
    method: String,
    request: Option<Value>,
    requests: Option<Vec<Value>>,
    #[serde(default = "anything")]
    expect: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    save: HashMap<String, String>,
    #[serde(default = "writer", rename = "as")]
    who: String,
    #[serde(default = "trusting_channel")]
    channel: String,
    needs: Option<String>,
    #[serde(default = "half_a_minute")]
    deadline_ms: u64,
    cancel_after_ms: Option<u64>,
    cancel_after: Option<usize>,
    #[serde(default)]
    within_ms: u64,
    #[serde(default)]
    skip_items: Value,
}

fn anything() -> Value {
    json!({})
}

fn writer() -> String {
    "writer".into()
}

fn trusting_channel() -> String {
    "trusting".into()
}

fn half_a_minute() -> u64 {
    30_000
}

impl Step {
    fn requests(&self) -> Vec<Value> {
        self.requests.clone().unwrap_or_else(|| vec![self.request.clone().unwrap_or(anything())])
    }

    fn settings(&self) -> Settings {
        Settings {
            deadline: Duration::from_millis(self.deadline_ms),
            cancel_after_ms: self.cancel_after_ms,
            cancel_after: self.cancel_after,
        }
    }
}

/// One channel for each way to connect, made when it is first asked for.
struct Connections {
    address: String,
    ca: Option<String>,
    tokens: Option<String>,
    channels: HashMap<String, Channel>,
}

impl Connections {
    fn from_environment() -> Self {
        Connections {
            address: variable("SUTRA_ADDRESS").unwrap_or("127.0.0.1:7400".into()),
            ca: variable("SUTRA_TLS_CA"),
            tokens: variable("SUTRA_TOKEN_FOLDER"),
            channels: HashMap::new(),
        }
    }

    fn has(&self, need: &Option<String>) -> Result<bool, Box<dyn Error>> {
        match need.as_deref() {
            None => Ok(true),
            Some("tls") => Ok(self.ca.is_some()),
            Some("tokens") => Ok(self.tokens.is_some()),
            Some(other) => Err(format!("unknown need '{other}'").into()),
        }
    }

    fn connection(&mut self, kind: &str, who: &str) -> Result<Connection, Box<dyn Error>> {
        let channel = match self.channels.get(kind) {
            Some(channel) => channel.clone(),
            None => {
                let channel = endpoint(&self.address, self.tls(kind)?)?.connect_lazy();
                self.channels.insert(kind.into(), channel.clone());
                channel
            }
        };
        Ok(InterceptedService::new(channel, self.bearer(who)?))
    }

    fn tls(&self, kind: &str) -> Result<Option<ClientTlsConfig>, Box<dyn Error>> {
        match kind {
            "trusting" => self.ca.as_deref().map(trusting).transpose(),
            "untrusting" => Ok(Some(ClientTlsConfig::new().with_native_roots())),
            "plaintext" => Ok(None),
            other => Err(format!("unknown channel '{other}'").into()),
        }
    }

    fn bearer(&self, who: &str) -> Result<Bearer, Box<dyn Error>> {
        match (&self.tokens, who) {
            (None, _) | (_, "nobody") => Ok(Bearer::default()),
            (_, "stranger") => Bearer::new("no-such-token"),
            (Some(folder), who) => Bearer::new(fs::read_to_string(Path::new(folder).join(who))?.trim()),
        }
    }
}

/// Requests of an Import without their first @count items.
fn without_first(requests: Vec<Value>, mut count: usize) -> Vec<Value> {
    let mut kept = Vec::new();
    for mut request in requests {
        if let Some(items) = request["items"].as_array_mut() {
            let skipped = count.min(items.len());
            items.drain(..skipped);
            count -= skipped;
            if items.is_empty() {
                continue;
            }
        }
        kept.push(request);
    }
    kept
}

/// Answers of one call as one: lists end to end, of the rest the last.
fn joined(answers: Vec<Value>) -> Value {
    let mut whole = Map::new();
    for answer in answers {
        let Value::Object(members) = answer else { continue };
        for (key, value) in members {
            match (whole.get_mut(&key), value) {
                (Some(Value::Array(before)), Value::Array(more)) => before.extend(more),
                (_, value) => drop(whole.insert(key, value)),
            }
        }
    }
    Value::Object(whole)
}

struct Scenario {
    connections: Connections,
    pool: DescriptorPool,
    saved: Map<String, Value>,
}

impl Scenario {
    /// A Mismatch where the step does not end as it should, also not within the time it may take.
    async fn run(&mut self, step: &Step) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_millis(step.within_ms);
        loop {
            match self.attempt(step).await {
                Err(Failure::Mismatch(_)) if Instant::now() < until => tokio::time::sleep(AGAIN).await,
                ended => return ended,
            }
        }
    }

    async fn attempt(&mut self, step: &Step) -> Result<(), Failure> {
        let method = Method::find(&self.pool, &step.method)?;
        let Outcome { answers, error } = self.call(&method, step).await?;
        matches(&self.expand(&step.error)?, &error, "error")?;
        if !error.is_null() && !method.streams_requests {
            return Ok(());
        }
        let answer = if method.streams_requests { Value::Array(answers) } else { joined(answers) };
        matches(&self.expand(&step.expect)?, &answer, "answer")?;
        for (name, path) in &step.save {
            self.saved.insert(name.clone(), look_up(&answer, path)?.clone());
        }
        Ok(())
    }

    /// The outcome of the last request, or of the first that fails.
    async fn call(&mut self, method: &Method, step: &Step) -> Result<Outcome, Failure> {
        let connection = self.connections.connection(&step.channel, &step.who);
        let connection = connection.map_err(|error| Failure::Scenario(error.to_string()))?;
        let requests = step.requests().iter().map(|one| self.expand(one)).collect::<Result<Vec<_>, _>>()?;
        if method.streams_requests {
            let skipped = number(&self.expand(&step.skip_items)?) as usize;
            return method.import(connection, &without_first(requests, skipped), step.settings()).await;
        }
        let mut outcome = Outcome { answers: Vec::new(), error: Value::Null };
        for request in &requests {
            outcome = method.call(connection.clone(), request, step.settings()).await?;
            if !outcome.error.is_null() {
                break;
            }
        }
        Ok(outcome)
    }

    fn expand(&self, value: &Value) -> Result<Value, Failure> {
        expand(value, &self.saved)
    }
}

/// True if no step failed.
async fn walk(file: &str) -> Result<bool, Box<dyn Error>> {
    let File { format, steps } = serde_json::from_str(&fs::read_to_string(file)?)?;
    if format != 1 {
        return Err(format!("{file} has format {format}, not 1").into());
    }
    let connections = Connections::from_environment();
    let mut scenario = Scenario { connections, pool: Method::pool(), saved: Map::new() };
    let (mut passed, mut failed, mut left_out) = (0, 0, 0);
    for step in &steps {
        if !scenario.connections.has(&step.needs)? {
            left_out += 1;
            println!("left out  {} (needs {})", step.name, step.needs.as_deref().unwrap_or_default());
            continue;
        }
        match scenario.run(step).await {
            Ok(()) => {
                passed += 1;
                println!("ok        {}", step.name);
            }
            Err(Failure::Mismatch(message)) => {
                failed += 1;
                println!("FAILED    {}: {message}", step.name);
            }
            Err(Failure::Scenario(message)) => return Err(message.into()),
        }
    }
    println!("rust: {passed} passed, {failed} failed, {left_out} left out");
    Ok(failed == 0)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let file = std::env::args().nth(1).unwrap_or("../scenario.json".into());
    match walk(&file).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("rust: {error}");
            ExitCode::from(2)
        }
    }
}
