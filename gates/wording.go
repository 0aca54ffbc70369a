package gates

import (
	"fmt"
	"strings"

	"github.com/arqon/arqon/benchmarks"
)

// wording is how the sentences of a record are worded. Those of an older
// wording are derived in their own, so that a record stays what it was:
//
//	0  printed the unit "1" of what has none, "10.25 1", "the same 1 values", "no difference in 0 pairs",
//	   and spoke of the timer of what is no time
//	1  does not
type wording int

const wordingNow wording = 1

// quantity is a number with its unit, as the wording of the record has it.
func (w wording) quantity(text, unit string) string {
	if w > 0 && (unit == "" || unit == "1") {
		return text
	}
	return text + " " + unit
}

// refused is why samples cannot be judged. Only a time has a timer.
func (w wording) refused(why string, m benchmarks.Metric) string {
	if w > 0 && !timeUnit(m) {
		return strings.Replace(why, "the timer is broken", "it is not measured, or never varies: a metric that never varies is deterministic", 1)
	}
	return why
}

// values counts deterministic metrics that came out the same.
func (w wording) values(n int) string {
	if w > 0 && n == 1 {
		return "the same value"
	}
	return fmt.Sprintf("the same %d values", n)
}
