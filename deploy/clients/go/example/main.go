// Learns three texts and asks a question.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"sutra.dev/connect"
	sutrav1 "sutra.dev/sutra/v1"
)

const question = "why does the sea rise and fall"

var texts = []string{
	"Tides are caused by the gravity of the moon.",
	"Bread is baked from flour, water, salt and yeast.",
	"A guitar has six strings that are plucked or strummed.",
}

func learnAndSearch(ctx context.Context, concepts sutrav1.ConceptServiceClient) error {
	for _, text := range texts {
		written, err := concepts.Learn(ctx, &sutrav1.LearnRequest{Concept: &sutrav1.ConceptInput{Content: text}})
		if err != nil {
			return err
		}
		fmt.Println(map[bool]string{true: "learned", false: "knew"}[written.Created], written.Id)
	}
	query := &sutrav1.Query{By: &sutrav1.Query_Text{Text: question}}
	found, err := concepts.Search(ctx, &sutrav1.SearchRequest{Query: query, K: 2, IncludeConcepts: true})
	if err != nil {
		return err
	}
	fmt.Printf("%s?\n", question)
	for _, hit := range found.Hits {
		fmt.Printf("  %.3f  %s\n", hit.Score, hit.Concept.Content)
	}
	return nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	connection, err := connect.FromEnvironment()
	if err == nil {
		defer connection.Close()
		err = learnAndSearch(ctx, sutrav1.NewConceptServiceClient(connection))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sutra:", err)
		os.Exit(1)
	}
}
