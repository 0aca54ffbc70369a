package factory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arqon/arqon/internal/ledger"
)

// thinker is a proposer as a shell script. Its points come from the clock and
// the process id: no seed can bring them back.
const thinker = `n=0
while read -r line; do
	id=$(printf '%s' "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')
	case $line in
	*'"op":"ask"'*)
		n=$((n+1))
		x=$(( ($$ * 7919 + $(date +%N | sed 's/^0*//') / 1000) % 600 ))
		echo "{\"id\":$id,\"ok\":true,\"points\":[{\"point\":{\"threshold\":0.$((300+x))},\"origin\":\"thought $n\"},{\"point\":{\"threshold\":7}}]}" ;;
	*'"op":"bye"'*) exit 0 ;;
	*) echo "{\"id\":$id,\"ok\":true}" ;;
	esac
done
`

// withProposer is the toy's study with a script beside its engines.
func withProposer(t testing.TB, script string) (edit []string, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "thinker.sh")
	if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	command, err := json.Marshal([]string{"sh", path})
	if err != nil {
		t.Fatal(err)
	}
	return []string{"candidates_per_context: 2", fmt.Sprintf("candidates_per_context: 2\nproposers: [{name: thinker, command: %s, share: 1, timeout: 20s}]\n", command)}, path
}

// both runs the night's search and the search alone.
func both(t *testing.T, test func(t *testing.T, search func(journal string) (string, error), st Study), edit ...string) {
	for _, alone := range []bool{false, true} {
		t.Run(map[bool]string{false: "night", true: "alone"}[alone], func(t *testing.T) {
			st := toyStudy(t, edit...)
			test(t, func(journal string) (string, error) {
				cfg := discovery(t, &toy{}, st, journal)
				if alone {
					r, err := Recommend(t.Context(), cfg)
					return fmt.Sprintf("%+v", r), err
				}
				s, err := Discover(t.Context(), cfg)
				return fmt.Sprintf("%s %d %+v", s.Stop, len(s.Trials), s.Finalists), err
			}, st)
		})
	}
}

// A journal replays to the same answer when the program is gone, and a search
// that was killed anywhere asks again only for what the journal does not hold.
func TestAProposerNeverChangesAReplay(t *testing.T) {
	edit, script := withProposer(t, thinker)
	both(t, func(t *testing.T, search func(string) (string, error), _ Study) {
		if err := os.WriteFile(script, []byte(thinker), 0o644); err != nil {
			t.Fatal(err)
		}
		journal := filepath.Join(t.TempDir(), "j")
		first, err := search(journal)
		if err != nil {
			t.Fatal(err)
		}
		whole := readFile(t, journal)
		if n := bytes.Count(whole, []byte(`"proposed thought`)); n < 20 {
			t.Fatalf("%d proposals in the journal", n)
		}
		if err := os.Remove(script); err != nil {
			t.Fatal(err)
		}
		again, err := search(journal)
		if err != nil || again != first || !bytes.Equal(readFile(t, journal), whole) {
			t.Errorf("a replay without the program: %v\n%s\n%s", err, again, first)
		}
		if err := os.WriteFile(script, []byte(thinker), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, part := range []int{3, 5, 8} {
			cut := filepath.Join(t.TempDir(), "cut")
			if err := os.WriteFile(cut, whole[:len(whole)*part/10], 0o644); err != nil {
				t.Fatal(err)
			}
			var kept [][]byte
			if _, err := ledger.Read(cut, func(r ledger.Record) error { kept = append(kept, r.Payload); return nil }); err != nil {
				t.Fatal(err)
			}
			if _, err := search(cut); err != nil {
				t.Fatal(err)
			}
			i := 0
			if _, err := ledger.Read(cut, func(r ledger.Record) error {
				if i < len(kept) && !bytes.Equal(kept[i], r.Payload) {
					t.Errorf("record %d was %.100s, is %.100s", r.Seq, kept[i], r.Payload)
				}
				i++
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}, edit...)
}

// A proposer that dies leaves its share to the engines, and the account says
// what happened.
func TestADeadProposerStopsNothing(t *testing.T) {
	for name, script := range map[string]string{
		"at once":  "exit 3\n",
		"in time":  strings.Replace(thinker, "n=$((n+1))", "n=$((n+1)); [ $n -gt 2 ] && exit 9", 1),
		"nonsense": "while read -r line; do echo hm; done\n",
	} {
		edit, _ := withProposer(t, script)
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, search func(string) (string, error), st Study) {
				got, err := search(filepath.Join(t.TempDir(), "j"))
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(got, "evaluations are spent") && !strings.HasPrefix(got, "evaluations are spent 240") {
					t.Errorf("its share is lost: %.60s", got)
				}
				if strings.HasPrefix(got, "engines have nothing") {
					t.Errorf("%.60s", got)
				}
			}, edit...)
		})
	}
	edit, _ := withProposer(t, "exit 3\n")
	path, _, _ := ranAs(t, &toy{}, false, edit...)
	a := account(t, path)
	if len(a.Notes) == 0 || a.Notes[0].Engine != "thinker" || !strings.Contains(a.Notes[len(a.Notes)-1].Text, "asked no more") {
		t.Errorf("%+v", a.Notes)
	}
}

func TestProposersRefused(t *testing.T) {
	for want, text := range map[string]string{
		`"Big Model": want lower-case`:     "{name: Big Model, command: [x], share: 1}",
		`"ga" is an engine or a proposer`:  "{name: ga, command: [x], share: 1}",
		"proposers[0].command: is empty":   "{name: m, share: 1}",
		"proposers[0].share: is 0":         "{name: m, command: [x]}",
		"want durations above 0":           "{name: m, command: [x], share: 1, timeout: -1s}",
		"proposers[0].points: is -1":       "{name: m, command: [x], share: 1, points: -1}",
		"proposers[0].model: unknown key;": "{name: m, command: [x], share: 1, model: big}",
	} {
		_, err := parseStudy("toy.yaml", []byte(toyYAML+"proposers: ["+text+"]\n"), nil)
		if !errors.Is(err, ErrStudy) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
