package factory

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/factory/engine"
	"github.com/arqon/arqon/factory/qd"
)

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// check refuses what cannot be meant.
func (s Study) check() error {
	no := s.doc.refuseField
	switch {
	case s.Name == "":
		return no("name", "is missing: name the study, for example name: my-study")
	case !nameForm.MatchString(s.Name):
		return no("name", "%q: want lower-case letters, digits and dashes, at most 40", s.Name)
	case s.Workers < 1 || s.Workers > workersMax:
		return no("workers", "is %d: want 1 to %d", s.Workers, workersMax)
	case s.Budget.Evaluations < 1:
		return no("budget.evaluations", "is %d: want at least 1", s.Budget.Evaluations)
	case s.Budget.Evaluations > evaluationsMax:
		return no("budget.evaluations", "is %d: want at most %d", s.Budget.Evaluations, evaluationsMax)
	case s.Budget.Time < 0:
		return no("budget.time", "is %v: want a duration above 0, or leave it out for no limit", s.Budget.Time)
	case s.Candidates < 1 || s.Candidates > candidatesMax:
		return no("candidates_per_context", "is %d: want 1 to %d", s.Candidates, candidatesMax)
	case !(s.Fidelity > 0 && s.Fidelity <= 1):
		return no("fidelity", "is %v: want above 0 to 1", s.Fidelity)
	case s.Channel == "" || !nameForm.MatchString(s.Channel):
		return no("channel", "%q: want lower-case letters, digits and dashes, at most 40", s.Channel)
	}
	if err := s.checkSource(); err != nil {
		return err
	}
	if err := s.checkContexts(); err != nil {
		return err
	}
	if err := s.checkEngines(); err != nil {
		return err
	}
	return s.checkProposers()
}

func (s Study) checkSource() error {
	n, program := 0, s.External != nil && len(s.External.Command) > 0
	for _, given := range []bool{s.Domain != "", program, len(s.Command) > 0} {
		if given {
			n++
		}
	}
	switch {
	case n == 0 && s.External != nil:
		return s.doc.refuseField("external.command", "is empty: give the program and its arguments as a list")
	case n == 0:
		return s.doc.refuseField("domain", "is missing: name a built-in domain, or give external.command or command")
	case n > 1:
		field := "external"
		if !program || s.Domain == "" {
			field = "command"
		}
		return s.doc.refuseField(field, "only one of domain, external.command and command can be given")
	case s.External == nil:
		return nil
	case s.Domain != "":
		return s.doc.refuseField("external", "the built-in domain %s runs no program", s.Domain)
	case program && s.External.Command[0] == "":
		return s.doc.refuseField("external.command", "is empty: give the program and its arguments as a list")
	case s.External.Timeout < 0:
		return s.doc.refuseField("external.timeout", "is %v: want a duration above 0", s.External.Timeout)
	}
	return nil
}

func (s Study) checkContexts() error {
	if _, given := s.doc.place("contexts"); given && len(s.Contexts) == 0 {
		return s.doc.refuseField("contexts", "is empty: name contexts, or leave it out for all of them")
	}
	if len(s.Contexts) > contextsMax {
		return s.doc.refuseField("contexts", "%d contexts, at most %d", len(s.Contexts), contextsMax)
	}
	seen := map[string]bool{}
	for i, c := range s.Contexts {
		field := fmt.Sprintf("contexts[%d]", i)
		if c.Name == "" {
			return s.doc.refuseField(join(field, "name"), "is missing")
		}
		if seen[c.Name] {
			return s.doc.refuseField(field, "%q is listed twice", c.Name)
		}
		seen[c.Name] = true
		for _, m := range sortedKeys(c.Tolerances) {
			if c.Tolerances[m] < 0 {
				return s.doc.refuseField(join(field, "tolerances."+m), "is %v: a tolerance is 0 or more", c.Tolerances[m])
			}
		}
	}
	for _, m := range sortedKeys(s.Metrics) {
		if t := s.Metrics[m].Tolerance; t != nil && *t < 0 {
			return s.doc.refuseField("metrics."+m+".tolerance", "is %v: a tolerance is 0 or more", *t)
		}
	}
	return nil
}

func (s Study) checkEngines() error {
	if len(s.Engines) == 0 || len(s.Engines) > enginesMax {
		return s.doc.refuseField("engines", "%d engines: want 1 to %d, or leave it out for the default mix", len(s.Engines), enginesMax)
	}
	seen := map[string]bool{}
	for i, e := range s.Engines {
		field := fmt.Sprintf("engines[%d]", i)
		switch {
		case e.Name == "":
			return s.doc.refuseField(field+".name", "is missing")
		case seen[e.Name]:
			return s.doc.refuseField(field+".name", "%q is listed twice", e.Name)
		case !(e.Share > 0 && e.Share <= shareMax):
			return s.doc.refuseField(field+".share", "is %v: want above 0 to %g", e.Share, float64(shareMax))
		}
		seen[e.Name] = true
	}
	return nil
}

// CheckEngines refuses an engine that the caller does not have.
func (s Study) CheckEngines(known map[string]engine.New) error {
	for i, e := range s.Engines {
		if known[e.Name] == nil {
			return s.doc.refuseField(fmt.Sprintf("engines[%d].name", i), "unknown engine %q; known: %s", e.Name, strings.Join(sortedKeys(known), ", "))
		}
	}
	return nil
}

// Apply returns the domain's description with the study's contexts, limits and
// tolerances in place, and refuses contexts and metrics that the domain does
// not have.
func (s Study) Apply(d benchmarks.Description) (benchmarks.Description, error) {
	if err := d.Check(); err != nil {
		return d, fmt.Errorf("%w: its description: %w", ErrDomain, err)
	}
	chosen := s.Contexts
	if len(chosen) == 0 {
		for _, sc := range d.Scenarios {
			chosen = append(chosen, ContextChoice{Name: sc.Name})
		}
	}
	for _, m := range sortedKeys(s.Metrics) {
		if err := s.knownMetric(d, m, "metrics."+m); err != nil {
			return d, err
		}
	}
	scenarios := make([]benchmarks.Scenario, 0, len(chosen))
	for i, c := range chosen {
		sc, err := s.applyContext(d, c, fmt.Sprintf("contexts[%d]", i))
		if err != nil {
			return d, err
		}
		scenarios = append(scenarios, sc)
	}
	d.Scenarios = scenarios
	if err := d.Check(); err != nil {
		return d, s.doc.refuseField("contexts", "%v", err)
	}
	return d, s.checkDescriptors(d)
}

// checkDescriptors refuses axes that the space does not have, and metrics that
// the search does not measure.
func (s Study) checkDescriptors(d benchmarks.Description) error {
	for i, x := range s.Descriptors {
		if x.Metric == "" {
			continue
		}
		field := fmt.Sprintf("descriptors[%d].metric", i)
		if err := s.knownMetric(d, x.Metric, field); err != nil {
			return err
		}
		for _, sc := range d.Scenarios {
			metrics, _ := needed(d, sc)
			if !slices.ContainsFunc(metrics, func(m benchmarks.Metric) bool { return m.Name == x.Metric }) {
				return s.doc.refuseField(field, "%s is measured with noise, the success metric of %s is not: the search looks at deterministic metrics alone there", x.Metric, sc.Name)
			}
		}
	}
	if len(s.Descriptors) == 0 {
		return nil
	}
	if _, err := qd.NewGrid(d.Space, s.Descriptors); err != nil {
		return s.doc.refuseField("descriptors", "%v", err)
	}
	return nil
}

func (s Study) applyContext(d benchmarks.Description, c ContextChoice, field string) (benchmarks.Scenario, error) {
	sc, ok := d.Scenario(c.Name)
	for _, x := range d.Scenarios {
		if !ok && x.Short != "" && x.Short == c.Name {
			sc, ok = x, true
		}
	}
	if !ok {
		names := make([]string, len(d.Scenarios))
		for i, x := range d.Scenarios {
			names[i] = x.Name
		}
		return sc, s.doc.refuseField(field, "unknown context %q; %s has: %s", c.Name, d.Name, strings.Join(names, ", "))
	}
	tolerances, limits := map[string]float64{}, map[string]float64{}
	for _, m := range sortedKeys(s.Metrics) {
		if t := s.Metrics[m].Tolerance; t != nil {
			tolerances[m] = *t
		}
		if l := s.Metrics[m].Limit; l != nil {
			limits[m] = *l
		}
	}
	for m, t := range sc.Tolerances {
		tolerances[m] = t
	}
	for m, l := range sc.Limits {
		limits[m] = l
	}
	for _, m := range sortedKeys(c.Tolerances) {
		if err := s.knownMetric(d, m, join(field, "tolerances."+m)); err != nil {
			return sc, err
		}
		tolerances[m] = c.Tolerances[m]
	}
	for _, m := range sortedKeys(c.Limits) {
		if err := s.knownMetric(d, m, join(field, "limits."+m)); err != nil {
			return sc, err
		}
		limits[m] = c.Limits[m]
	}
	if c.Success != "" {
		if err := s.knownMetric(d, c.Success, join(field, "success")); err != nil {
			return sc, err
		}
		sc.Success = c.Success
	}
	sc.Tolerances, sc.Limits = tolerances, limits
	return sc, nil
}

func (s Study) knownMetric(d benchmarks.Description, name, field string) error {
	if _, ok := d.Metric(name); ok {
		return nil
	}
	names := make([]string, len(d.Metrics))
	for i, m := range d.Metrics {
		names[i] = m.Name
	}
	return s.doc.refuseField(field, "unknown metric %q; %s has: %s", name, d.Name, strings.Join(names, ", "))
}
