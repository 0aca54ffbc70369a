package benchmarks

// Pair is a baseline sample A and a candidate sample B measured next to each
// other, in an order that a recorded coin chose before anything was measured.
type Pair struct {
	Index    int      `json:"index"`
	BFirst   bool     `json:"b_first"`             // the coin
	A        Sample   `json:"a"`                   // baseline
	B        Sample   `json:"b"`                   // candidate
	CanaryNS [3]int64 `json:"canary_ns,omitempty"` // a fixed spin before, between and after
	Marked   bool     `json:"marked,omitempty"`    // a canary over 1.25× the run's minimum: the machine was disturbed
}
