//! Learns three texts and asks a question.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use sutra_client::v1::concept_service_client::ConceptServiceClient;
use sutra_client::v1::{ConceptInput, LearnRequest, Query, SearchRequest, query};
use sutra_client::{by_usual_name, connect_from_environment, explain, retrying, within};

const DEADLINE: Duration = Duration::from_secs(30);
const TEXTS: [&str; 3] = [
    "Tides are caused by the gravity of the moon.",
    "Bread is baked from flour, water, salt and yeast.",
    "A guitar has six strings that are plucked or strummed.",
];

async fn learn_and_search() -> Result<(), Box<dyn Error>> {
    let mut concepts = ConceptServiceClient::new(connect_from_environment().await?);
    for text in TEXTS {
        let concept = ConceptInput { content: text.into(), ..Default::default() };
        let request = LearnRequest { concept: Some(concept), ..Default::default() };
        let learned = concepts.learn(within(DEADLINE, request)).await.map_err(by_usual_name)?.into_inner();
        println!("{} {}", if learned.created { "learned" } else { "knew" }, learned.id);
    }

    let question = "why does the sea rise and fall";
    let query = Query { by: Some(query::By::Text(question.into())) };
    let request = SearchRequest { query: Some(query), k: 2, include_concepts: true, ..Default::default() };
    let answer = retrying(async || concepts.search(within(DEADLINE, request.clone())).await).await?;
    println!("{question}?");
    for hit in answer.into_inner().hits {
        println!("  {:.3}  {}", hit.score, hit.concept.unwrap_or_default().content);
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match learn_and_search().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sutra: {}", explain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
