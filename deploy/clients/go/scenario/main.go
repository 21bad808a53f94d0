// Walks deploy/clients/scenario.json, whose path is the argument; deploy/clients/README.md says how it is read.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

const retryPause = 50 * time.Millisecond

// A step as the scenario has it. Numbers that are absent are 0.
type step struct {
	Name          string
	Method        string
	Request       any
	Requests      []any
	Expect        any
	Error         any
	Save          map[string]string
	As            string
	Channel       string
	Needs         string
	DeadlineMS    int `json:"deadline_ms"`
	CancelAfterMS int `json:"cancel_after_ms"`
	CancelAfter   int `json:"cancel_after"`
	SkipItems     any `json:"skip_items"`
	WithinMS      int `json:"within_ms"`
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

type scenario struct {
	connections *connections
	saved       object
}

// run tries the step until it matches or its time is over.
func (s *scenario) run(one *step) error {
	until := time.Now().Add(time.Duration(one.WithinMS) * time.Millisecond)
	for {
		err := s.try(one)
		if err == nil || !time.Now().Before(until) {
			return err
		}
		time.Sleep(retryPause)
	}
}

func (s *scenario) try(one *step) error {
	call, err := s.begin(one)
	if err != nil {
		return err
	}
	defer call.cancel()
	answer, failure := s.answer(call, one)
	var told any
	if failure != nil {
		told = errorObject(failure)
	}
	if err := match(expand(one.Error, s.saved), told, "error"); err != nil {
		return err
	}
	if answer == nil {
		return nil
	}
	return s.check(one, answer)
}

func (s *scenario) begin(one *step) (*call, error) {
	method, err := findMethod(one.Method)
	if err != nil {
		return nil, err
	}
	conn, err := s.connections.to(or(one.Channel, "trusting"))
	if err != nil {
		return nil, err
	}
	deadline := 30 * time.Second
	if one.DeadlineMS > 0 {
		deadline = time.Duration(one.DeadlineMS) * time.Millisecond
	}
	ctx, err := s.connections.authorize(context.Background(), or(one.As, "writer"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	return &call{"/" + one.Method, method, conn, ctx, cancel}, nil
}

// answer is nil where there is none.
func (s *scenario) answer(c *call, one *step) (any, error) {
	switch {
	case c.method.IsStreamingClient():
		skipped, _ := numberOf(expand(one.SkipItems, s.saved))
		return c.importAll(withoutFirst(expand(one.Requests, s.saved).([]any), int(skipped)), one.CancelAfter)
	case c.method.IsStreamingServer():
		return c.list(expand(one.Request, s.saved))
	}
	requests := one.Requests
	if requests == nil {
		requests = []any{one.Request}
	}
	var answer any
	for _, request := range requests {
		var err error
		if answer, err = c.unary(expand(request, s.saved), time.Duration(one.CancelAfterMS)*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

func (s *scenario) check(one *step, answer any) error {
	if one.Expect != nil {
		if err := match(expand(one.Expect, s.saved), answer, ""); err != nil {
			return err
		}
	}
	for name, path := range one.Save {
		s.saved[name] = lookUp(answer, path)
	}
	return nil
}

// withoutFirst leaves out so many items, counted over all requests, and requests that become empty.
func withoutFirst(requests []any, count int) []any {
	kept := []any{}
	for _, request := range requests {
		members := request.(object)
		items := members["items"].([]any)
		if count >= len(items) {
			count -= len(items)
			continue
		}
		members["items"] = items[count:]
		count = 0
		kept = append(kept, members)
	}
	return kept
}

func walk(path string) (failed int, err error) {
	var file struct{ Steps []step }
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return 0, err
	}
	s := scenario{newConnections(), object{}}
	passed, leftOut := 0, 0
	for i := range file.Steps {
		one := &file.Steps[i]
		if !s.connections.has(one.Needs) {
			leftOut++
			fmt.Printf("left out  %s (needs %s)\n", one.Name, one.Needs)
		} else if err := s.run(one); err != nil {
			failed++
			fmt.Printf("FAILED    %s: %v\n", one.Name, err)
		} else {
			passed++
			fmt.Printf("ok        %s\n", one.Name)
		}
	}
	fmt.Printf("go: %d passed, %d failed, %d left out\n", passed, failed, leftOut)
	return failed, nil
}

func main() {
	failed, err := walk(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if failed > 0 || err != nil {
		os.Exit(1)
	}
}
