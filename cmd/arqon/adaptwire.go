package main

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// whole is a whole number of the protocol, also as a writer of doubles spells
// it: 30, 30.0 and 3e1 are one number. What is negative keeps its bits, so that
// any 64-bit seed is a seed.
type whole uint64

// UnmarshalJSON takes a whole number between -2⁶³ and 2⁶⁴-1; null leaves it.
func (w *whole) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s == "null" {
		return nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		*w = whole(n)
		return nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		*w = whole(n)
		return nil
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Trim(s, "+-0123456789.eE") != "" || x != math.Trunc(x) || math.Abs(x) > 1<<53 {
		return notA[whole](b)
	}
	*w = whole(int64(x))
	return nil
}

// notA is an error to which encoding/json adds the name of the field.
func notA[T any](b []byte) error {
	return &json.UnmarshalTypeError{Value: string(b[:min(len(b), 40)]), Type: reflect.TypeFor[T]()}
}

// wanted names a type of the protocol.
func wanted(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[whole]():
		return "a whole number"
	case reflect.TypeFor[allowed]():
		return "true or false"
	}
	return t.String()
}

// allowed is one entry of the eligible arms: true or false, or 1 or 0 as
// arrays of some libraries are written.
type allowed bool

// UnmarshalJSON takes those four and null, which is no.
func (a *allowed) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true", "1", "1.0":
		*a = true
	case "false", "0", "0.0", "null":
		*a = false
	default:
		return notA[allowed](b)
	}
	return nil
}

// allowed widens the list to one entry an arm: an empty list allows none. What
// it returns is valid until the next call.
func (a *agent) allowed(list []allowed) []bool {
	a.eligible = append(a.eligible[:0], make([]bool, a.bandit.Arms())...)
	for i, ok := range list {
		a.eligible[i] = bool(ok)
	}
	return a.eligible
}
