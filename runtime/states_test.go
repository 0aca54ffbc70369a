package runtime

import (
	"strings"
	"testing"
)

// Every legal (state, event), written down a second time. All other pairs must
// be refused and leave the state alone.
const legal = `
idle propose proposed
idle abort rolling-back
idle breach rolling-back
idle release idle
idle kill killed
proposed validate validated
proposed abort rolling-back
proposed breach rolling-back
proposed release idle
proposed kill killed
validated stage staged
validated abort rolling-back
validated breach rolling-back
validated release idle
validated kill killed
staged widen canary
staged promote promoted
staged settle idle
staged abort rolling-back
staged breach rolling-back
staged release idle
staged kill killed
canary widen canary
canary pause paused
canary promote promoted
canary abort rolling-back
canary breach rolling-back
canary release idle
canary kill killed
paused resume canary
paused abort rolling-back
paused breach rolling-back
paused release idle
paused kill killed
promoted propose proposed
promoted abort rolling-back
promoted breach rolling-back
promoted release idle
promoted kill killed
rolling-back returned rolled-back
rolling-back kill killed
rolled-back cool idle
rolled-back abort rolling-back
rolled-back breach rolling-back
rolled-back release rolled-back
rolled-back kill killed
killed kill killed
killed revive idle
`

func TestEveryStateMeetsEveryEvent(t *testing.T) {
	want := map[string]string{}
	for line := range strings.Lines(strings.TrimSpace(legal)) {
		f := strings.Fields(line)
		want[f[0]+" "+f[1]] = f[2]
	}
	dash := func(s string) string { return strings.ReplaceAll(s, " ", "-") }
	pairs := 0
	for s := range stateCount {
		for e := range eventCount {
			pairs++
			key := dash(s.String()) + " " + e.String()
			to, ok := step(s, e)
			switch w, listed := want[key]; {
			case ok != listed:
				t.Errorf("%s: legal %v, want %v", key, ok, listed)
			case ok && dash(to.String()) != w:
				t.Errorf("%s: leads to %v, want %s", key, to, w)
			case !ok && to != s:
				t.Errorf("%s: refused, but the state moved to %v", key, to)
			}
			delete(want, key)
		}
	}
	if len(want) != 0 || pairs != int(stateCount)*int(eventCount) {
		t.Errorf("%d pairs, never met: %v", pairs, want)
	}
	if _, ok := step(stateCount, evKill); ok {
		t.Error("a state that does not exist moved")
	}
	for s := Idle; s < stateCount; s++ {
		if to, ok := step(s, evKill); !ok || to != Killed {
			t.Errorf("kill is not honoured in %v", s)
		}
	}
}

func TestEveryWordHasAName(t *testing.T) {
	if len(reasonNames) != int(reasonCount) || len(stateNames) != int(stateCount) || len(eventNames) != int(eventCount) {
		t.Fatalf("%d reasons, %d states, %d events are named", len(reasonNames), len(stateNames), len(eventNames))
	}
	if Reason(200).String() != "reason 200" || Outcome(0).String() != "refused" {
		t.Fatal("names")
	}
}
