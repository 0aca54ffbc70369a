package report

import (
	"fmt"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/plot"
)

// whatNext answers "what next" in one line and, if there is one, a command.
func (s subject) whatNext(w Where) (head, detail, command string) {
	switch {
	case s.night.Outcome == gates.Invalid:
		return "Judge again", "Find out why a control failed, then run another night. Pairs already measured are kept.", ""
	case s.scope == catalog.ScopeProd:
		return "Publish", "All six gates have passed.", "arqon publish --repository " + w.repository()
	case s.stands():
		return "Sign", "The measured gates have passed; production waits for approval signatures.", "arqon sign --repository " + w.repository()
	case len(s.WhatIf) > 0:
		return "Change something", sentence(s.WhatIf[0]), ""
	}
	switch s.badge() {
	case gates.Inconclusive, gates.Pass:
		return "Measure more", "The evidence did not reach the bar. A rerun takes new error budget and keeps tonight's pairs.", ""
	case gates.Fail:
		return "Nothing", "The baseline stays. The search learns from the refusal.", ""
	case gates.Invalid:
	}
	return "Repair the measurement", "The finding says which metric could not be trusted.", ""
}

func (w Where) repository() string {
	if w.Repository == "" {
		return "REPOSITORY"
	}
	return ShellWord(w.Repository)
}

func (w Where) channel() string {
	if w.Channel == "" {
		return "staging"
	}
	return ShellWord(w.Channel)
}

// ShellWord quotes s if a shell would not take it as one word.
func ShellWord(s string) string {
	s = plot.Clean(s, 400)
	for _, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		switch r {
		case '-', '_', '.', '/', ':', '=', '+', ',', '@', '%':
			ok = true
		}
		if !ok {
			return "'" + quoteInner(s) + "'"
		}
	}
	if s == "" {
		return "''"
	}
	return s
}

func quoteInner(s string) string {
	out := ""
	for _, r := range s {
		if r == '\'' {
			out += `'\''`
			continue
		}
		out += string(r)
	}
	return out
}

// commands are the night's next steps, in order, ready to copy.
func commands(n *gates.Night, w Where) []string {
	run := ShellWord(n.Run)
	if n.Outcome == gates.Invalid {
		return []string{"arqon report " + run + " --json", "arqon nightly --study STUDY.yaml"}
	}
	if candidatesOf(n) == 0 {
		return []string{"arqon study show " + run, "arqon nightly --study STUDY.yaml"}
	}
	if standing(n) == 0 {
		return []string{"arqon report " + run + " --html night.html", "arqon nightly --study STUDY.yaml"}
	}
	next := []string{
		"arqon sign --repository " + w.repository(),
		"arqon publish --repository " + w.repository(),
		"arqon verify --repository " + w.repository(),
		"arqon run --repository " + w.repository() + " --channel " + w.channel(),
	}
	if w.Embedded {
		next[3] = "arqon inspect --repository " + w.repository() + " --channel " + w.channel()
	}
	if approved(n) {
		return next[2:]
	}
	return next
}

// candidatesOf counts what the search brought, the baseline aside.
func candidatesOf(n *gates.Night) int {
	_, all, _, _ := tally(n)
	return all
}

// approved reports whether no standing candidate waits for a signature.
func approved(n *gates.Night) bool {
	for i := range n.Candidates {
		if s := newSubject(n, i); s.stands() && s.scope != catalog.ScopeProd {
			return false
		}
	}
	return standing(n) > 0
}

// trust is the sentence under the headline: whether the night counts at all.
func trust(n *gates.Night) string {
	if n.Outcome != gates.Pass {
		return sentence(n.Reason)
	}
	good, all := controlsHeld(n)
	if all == 0 {
		return "No control applied to this night."
	}
	return behaved(good, all) + ": the night counts."
}

// behaved is "3 of 3 controls behaved as they must".
func behaved(good, all int) string {
	must := "as they must"
	if all == 1 {
		must = "as it must"
	}
	return fmt.Sprintf("%d of %s behaved %s", good, plot.Count(all, "control"), must)
}

// controlsHeld counts the controls that passed and those that applied.
func controlsHeld(n *gates.Night) (good, all int) {
	for _, c := range n.Controls {
		if controlWord(c) == "N/A" {
			continue
		}
		all++
		if c.Outcome == gates.Pass {
			good++
		}
	}
	return good, all
}

// standing counts the candidates that may be published, the reference aside.
func standing(n *gates.Night) int {
	k := 0
	for i := range n.Candidates {
		if s := newSubject(n, i); s.stands() && !s.Reference {
			k++
		}
	}
	return k
}
