package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

type object = map[string]any

// A mismatch says where what was expected is not what came.
type mismatch struct{ where, expected, actual string }

func (m *mismatch) Error() string {
	return fmt.Sprintf("%s: expected %s, got %s", m.where, m.expected, m.actual)
}

func shorten(value any) string {
	text, _ := json.Marshal(value)
	if len(text) > 200 {
		return string(text[:200]) + "…"
	}
	return string(text)
}

func require(holds bool, where string, expected, actual any) error {
	if holds {
		return nil
	}
	if where == "" {
		where = "answer"
	}
	return &mismatch{where, shorten(expected), shorten(actual)}
}

// numberOf takes 64-bit integers as the JSON mapping has them: in strings.
func numberOf(value any) (float64, bool) {
	switch v := value.(type) {
	case nil:
		return 0, true
	case float64:
		return v, true
	case string:
		number, err := strconv.ParseInt(v, 10, 64)
		return float64(number), err == nil
	}
	return 0, false
}

func within(expected float64, actual any, tolerance float64) bool {
	number, ok := numberOf(actual)
	return ok && math.Abs(number-expected) <= tolerance
}

func match(expected, actual any, where string) error {
	switch wanted := expected.(type) {
	case object:
		return matchObject(wanted, actual, where)
	case []any:
		return matchList(wanted, actual, where)
	case float64:
		return require(within(wanted, actual, 1e-6*math.Max(1, math.Abs(wanted))), where, expected, actual)
	case string:
		text, ok := actual.(string)
		return require(text == wanted && (ok || actual == nil), where, expected, actual)
	case bool:
		truth, ok := actual.(bool)
		return require(truth == wanted && (ok || actual == nil), where, expected, actual)
	}
	return require(actual == nil, where, expected, actual)
}

func matchList(wanted []any, actual any, where string) error {
	rows, ok := actual.([]any)
	if err := require((ok || actual == nil) && len(rows) == len(wanted), where, wanted, actual); err != nil {
		return err
	}
	for i := range wanted {
		if err := match(wanted[i], rows[i], fmt.Sprintf("%s[%d]", where, i)); err != nil {
			return err
		}
	}
	return nil
}

func matchObject(wanted object, actual any, where string) error {
	for operator, apply := range operators {
		if _, ok := wanted[operator]; ok {
			return require(apply(wanted, actual), where, wanted, actual)
		}
	}
	members, ok := actual.(object)
	if err := require(ok || actual == nil, where, wanted, actual); err != nil {
		return err
	}
	for name, value := range wanted {
		if err := match(value, members[name], strings.TrimPrefix(where+"."+name, ".")); err != nil {
			return err
		}
	}
	return nil
}

var operators map[string]func(wanted object, actual any) bool

func init() {
	operators = map[string]func(object, any) bool{
		"$near": func(wanted object, actual any) bool {
			return within(wanted["$near"].(float64), actual, wanted["$within"].(float64))
		},
		"$above": func(wanted object, actual any) bool {
			number, ok := numberOf(actual)
			return ok && number > wanted["$above"].(float64)
		},
		"$contains": func(wanted object, actual any) bool {
			text, ok := actual.(string)
			return ok && strings.Contains(text, wanted["$contains"].(string))
		},
		"$unordered": func(wanted object, actual any) bool {
			rows, _ := actual.([]any)
			return matchUnordered(wanted["$unordered"].([]any), append([]any(nil), rows...))
		},
	}
}

// matchUnordered takes out of the rows one for each that is wanted.
func matchUnordered(wanted, rows []any) bool {
	if len(wanted) != len(rows) {
		return false
	}
	for _, one := range wanted {
		found := -1
		for i, row := range rows {
			if found < 0 && match(one, row, "") == nil {
				found = i
			}
		}
		if found < 0 {
			return false
		}
		rows = append(rows[:found], rows[found+1:]...)
	}
	return true
}

// expand replaces what stands for something else.
func expand(value any, saved object) any {
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i, one := range v {
			list[i] = expand(one, saved)
		}
		return list
	case object:
		return expandObject(v, saved)
	}
	return value
}

func expandObject(value, saved object) any {
	if name, ok := value["$saved"]; ok {
		return saved[name.(string)]
	}
	if pair, ok := value["$repeat"].([]any); ok {
		return strings.Repeat(pair[0].(string), int(pair[1].(float64)))
	}
	if pair, ok := value["$times"].([]any); ok {
		list := make([]any, int(pair[1].(float64)))
		one := expand(pair[0], saved)
		for i := range list {
			list[i] = one
		}
		return list
	}
	members := object{}
	for name, one := range value {
		members[name] = expand(one, saved)
	}
	return members
}

// lookUp follows names and indices: "hits.0.score".
func lookUp(value any, path string) any {
	for _, part := range strings.Split(path, ".") {
		switch v := value.(type) {
		case object:
			value = v[part]
		case []any:
			index, err := strconv.Atoi(part)
			if err != nil || index >= len(v) {
				return nil
			}
			value = v[index]
		}
	}
	return value
}
