package sim

import (
	"context"
	"testing"
)

// Harm of 5 % is rolled back within 50 pairs, nothing good is.
func TestCanaryAlarm(t *testing.T) {
	for _, noise := range Noises {
		p := DefaultCanary()
		p.Noise, p.Runs = noise, 120
		r, err := PlayCanary(context.Background(), p, "harm")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", r)
		least := .97
		if noise == "heavy" { // t with 2 degrees of freedom: docs/statistics.md
			least = .8
		}
		if r.Noticed < least || r.False > 0 || r.FalseEdge > 2 {
			t.Errorf("%+v", r)
		}
	}
	p := DefaultCanary()
	p.Runs, p.HarmAt = 40, 150
	for _, name := range Alarms {
		r, err := PlayCanary(context.Background(), p, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", r)
		if r.FalseEdge > 2 || r.False > 0 {
			t.Errorf("%+v", r)
		}
	}
	if _, err := PlayCanary(context.Background(), p, "bell"); err == nil {
		t.Error("an unknown alarm rang")
	}
	p.Pairs = 0
	if _, err := PlayCanary(context.Background(), p, "harm"); err == nil {
		t.Error("no pairs were watched")
	}
}
