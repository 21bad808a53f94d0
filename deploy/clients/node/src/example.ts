/** Learns three texts and asks a question. */
import { call, fromEnvironment } from "./connect.js";
import { ConceptServiceClient, LearnRequest, SearchRequest } from "./gen/sutra/v1/concept_service.js";

const TEXTS = [
  "Tides are caused by the gravity of the moon.",
  "Bread is baked from flour, water, salt and yeast.",
  "A guitar has six strings that are plucked or strummed.",
];

async function learnAndSearch(concepts: ConceptServiceClient): Promise<void> {
  for (const content of TEXTS) {
    const { id, created } = await call(concepts, concepts.learn, LearnRequest.fromPartial({ concept: { content } }));
    console.log(`${created ? "learned" : "knew"} ${id}`);
  }
  const question = "why does the sea rise and fall";
  const search = SearchRequest.fromPartial({ query: { text: question }, k: 2, includeConcepts: true });
  const { hits } = await call(concepts, concepts.search, search);
  console.log(`${question}?`);
  for (const { score, concept } of hits) console.log(`  ${score.toFixed(3)}  ${concept?.content}`);
}

async function main(): Promise<void> {
  const concepts = new ConceptServiceClient(...fromEnvironment());
  await learnAndSearch(concepts).finally(() => concepts.close());
}

main().catch((error: Error) => {
  console.error(`sutra: ${error.message}`);
  process.exitCode = 1;
});
