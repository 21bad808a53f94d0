//! Calls through the generated clients, by the name of the method, with messages as JSON.

use std::time::Duration;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};
use sutra_client::v1::admin_service_client::AdminServiceClient;
use sutra_client::v1::concept_service_client::ConceptServiceClient;
use sutra_client::v1::embedding_service_client::EmbeddingServiceClient;
use sutra_client::v1::{DESCRIPTORS, ImportRequest};
use sutra_client::{Connection, MAX_MESSAGE_BYTES, by_usual_name, within};
use tokio_stream::StreamExt;
use tonic::{Status, Streaming};
use tonic_types::StatusExt;

use crate::matching::Failure;

/// How a call ended: what was answered, and the error, null if it was none.
pub struct Outcome {
    pub answers: Vec<Value>,
    pub error: Value,
}

#[derive(Clone, Copy)]
pub struct Settings {
    pub deadline: Duration,
    /// Of a unary call: cancel when so much time has passed.
    pub cancel_after_ms: Option<u64>,
    /// Of an Import: send so many requests, do not end the stream, and cancel when there are as many answers.
    pub cancel_after: Option<usize>,
}

/// One method and the descriptors of its messages, which know their JSON.
pub struct Method {
    path: String,
    input: MessageDescriptor,
    output: MessageDescriptor,
    pub streams_requests: bool,
}

/// A typed client of @connection, as large messages as Sutra may send.
macro_rules! client {
    ($client:ident, $connection:expr) => {
        $client::new($connection).max_decoding_message_size(MAX_MESSAGE_BYTES)
    };
}

/// One unary call of a generated client, from JSON to JSON.
macro_rules! unary {
    ($client:ident, $verb:ident, $method:expr, $connection:expr, $request:expr, $deadline:expr) => {{
        let request = within($deadline, $method.parse($request)?);
        let response = client!($client, $connection).$verb(request).await;
        Ok(response.map(|response| vec![$method.print(response.get_ref())]))
    }};
}

impl Method {
    /// @path is such as "sutra.v1.ConceptService/Learn".
    pub fn find(pool: &DescriptorPool, path: &str) -> Result<Self, Failure> {
        let unknown = || Failure::Scenario(format!("unknown method '{path}'"));
        let (service, verb) = path.split_once('/').ok_or_else(unknown)?;
        let service = pool.get_service_by_name(service).ok_or_else(unknown)?;
        let method = service.methods().find(|method| method.name() == verb).ok_or_else(unknown)?;
        Ok(Method {
            path: path.into(),
            input: method.input(),
            output: method.output(),
            streams_requests: method.is_client_streaming(),
        })
    }

    pub fn pool() -> DescriptorPool {
        DescriptorPool::decode(DESCRIPTORS).expect("descriptors of this build")
    }

    fn parse<T: Message + Default>(&self, request: &Value) -> Result<T, Failure> {
        let wrong = |error: &dyn ToString| Failure::Scenario(format!("{}: {}", self.path, error.to_string()));
        let message = DynamicMessage::deserialize(self.input.clone(), request).map_err(|error| wrong(&error))?;
        message.transcode_to().map_err(|error| wrong(&error))
    }

    fn print<T: Message>(&self, response: &T) -> Value {
        let message = DynamicMessage::decode(self.output.clone(), response.encode_to_vec().as_slice())
            .expect("a message of its own type");
        let options = SerializeOptions::new().skip_default_fields(true);
        message.serialize_with_options(serde_json::value::Serializer, &options).expect("details of a known kind")
    }

    pub async fn call(&self, connection: Connection, request: &Value, settings: Settings) -> Result<Outcome, Failure> {
        let called = self.call_to_end(connection, request, settings.deadline);
        let Some(ms) = settings.cancel_after_ms else {
            return Ok(outcome(called.await?));
        };
        // To cancel a call is to drop its future.
        match tokio::time::timeout(Duration::from_millis(ms), called).await {
            Ok(ended) => Ok(outcome(ended?)),
            Err(_) => Ok(outcome(Err(Status::cancelled("cancelled here")))),
        }
    }

    async fn call_to_end(
        &self,
        connection: Connection,
        request: &Value,
        deadline: Duration,
    ) -> Result<Result<Vec<Value>, Status>, Failure> {
        macro_rules! call {
            ($client:ident, $verb:ident) => {
                unary!($client, $verb, self, connection, request, deadline)
            };
        }
        match self.path.as_str() {
            "sutra.v1.AdminService/Stats" => call!(AdminServiceClient, stats),
            "sutra.v1.AdminService/GetTopology" => call!(AdminServiceClient, get_topology),
            "sutra.v1.AdminService/GetLimits" => call!(AdminServiceClient, get_limits),
            "sutra.v1.AdminService/TrainCodebook" => call!(AdminServiceClient, train_codebook),
            "sutra.v1.ConceptService/Learn" => call!(ConceptServiceClient, learn),
            "sutra.v1.ConceptService/LearnBatch" => call!(ConceptServiceClient, learn_batch),
            "sutra.v1.ConceptService/Put" => call!(ConceptServiceClient, put),
            "sutra.v1.ConceptService/Get" => call!(ConceptServiceClient, get),
            "sutra.v1.ConceptService/BatchGet" => call!(ConceptServiceClient, batch_get),
            "sutra.v1.ConceptService/Delete" => call!(ConceptServiceClient, delete),
            "sutra.v1.ConceptService/Associate" => call!(ConceptServiceClient, associate),
            "sutra.v1.ConceptService/Dissociate" => call!(ConceptServiceClient, dissociate),
            "sutra.v1.ConceptService/Neighbors" => call!(ConceptServiceClient, neighbors),
            "sutra.v1.ConceptService/Search" => call!(ConceptServiceClient, search),
            "sutra.v1.ConceptService/BatchSearch" => call!(ConceptServiceClient, batch_search),
            "sutra.v1.ConceptService/Distance" => call!(ConceptServiceClient, distance),
            "sutra.v1.ConceptService/Reinforce" => call!(ConceptServiceClient, reinforce),
            "sutra.v1.EmbeddingService/Embed" => call!(EmbeddingServiceClient, embed),
            "sutra.v1.EmbeddingService/Info" => call!(EmbeddingServiceClient, info),
            "sutra.v1.ConceptService/List" => {
                let request = within(deadline, self.parse(request)?);
                Ok(match client!(ConceptServiceClient, connection).list(request).await {
                    Ok(response) => self.gather(response.into_inner()).await,
                    Err(status) => Err(status),
                })
            }
            _ => Err(Failure::Scenario(format!("no client for {}", self.path))),
        }
    }

    /// All that @stream answers.
    async fn gather<T: Message>(&self, mut stream: Streaming<T>) -> Result<Vec<Value>, Status> {
        let mut answers = Vec::new();
        while let Some(response) = stream.message().await? {
            answers.push(self.print(&response));
        }
        Ok(answers)
    }

    pub async fn import(
        &self,
        connection: Connection,
        requests: &[Value],
        settings: Settings,
    ) -> Result<Outcome, Failure> {
        let parsed = requests.iter().map(|request| self.parse(request)).collect::<Result<Vec<ImportRequest>, _>>()?;
        let Some(count) = settings.cancel_after else {
            return Ok(self.import_to_end(connection, tokio_stream::iter(parsed), settings.deadline, usize::MAX).await);
        };
        let unended = tokio_stream::iter(parsed).take(count).chain(tokio_stream::pending());
        Ok(self.import_to_end(connection, unended, settings.deadline, count).await)
    }

    /// Until the stream ends, or until there are @most answers: dropping the stream cancels the call.
    async fn import_to_end(
        &self,
        connection: Connection,
        requests: impl tokio_stream::Stream<Item = ImportRequest> + Send + 'static,
        deadline: Duration,
        most: usize,
    ) -> Outcome {
        let mut stream = match client!(ConceptServiceClient, connection).import(within(deadline, requests)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return outcome(Err(status)),
        };
        let mut answers = Vec::new();
        let error = loop {
            if answers.len() == most {
                break error_to_json(Status::cancelled("cancelled here"));
            }
            match stream.message().await {
                Ok(Some(response)) => answers.push(self.print(&response)),
                Ok(None) => break Value::Null,
                Err(status) => break error_to_json(status),
            }
        };
        Outcome { answers, error }
    }
}

fn outcome(ended: Result<Vec<Value>, Status>) -> Outcome {
    match ended {
        Ok(answers) => Outcome { answers, error: Value::Null },
        Err(status) => Outcome { answers: Vec::new(), error: error_to_json(status) },
    }
}

/// "INVALID_ARGUMENT" of `Code::InvalidArgument`.
fn code_name(status: &Status) -> String {
    let mut name = String::new();
    for letter in format!("{:?}", status.code()).chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// Code, message, and what `grpc-status-details-bin` carries: fieldViolations of BadRequest, reason … of ErrorInfo.
fn error_to_json(status: Status) -> Value {
    let status = by_usual_name(status);
    let details = status.get_error_details();
    let mut error = json!({"code": code_name(&status), "message": status.message()});
    if let Some(bad_request) = details.bad_request() {
        let violation = |one: &tonic_types::FieldViolation| json!({"field": one.field, "description": one.description});
        error["fieldViolations"] = bad_request.field_violations.iter().map(violation).collect();
    }
    if let Some(info) = details.error_info() {
        error["reason"] = json!(info.reason);
        error["domain"] = json!(info.domain);
        error["metadata"] = json!(info.metadata);
    }
    error
}
