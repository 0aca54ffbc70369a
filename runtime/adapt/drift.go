package adapt

// PageHinkley detects a change of a mean in either direction (Page 1954;
// Hinkley 1971): it alarms when the sum of deviations from the running mean
// beyond Slack has moved by more than Threshold from its extreme. The zero
// state is fresh; Slack and Threshold are in units of the input.
type PageHinkley struct {
	Slack     float64 `json:"slack"`
	Threshold float64 `json:"threshold"` // 0: never alarms
	Count     uint64  `json:"count"`
	Mean      float64 `json:"mean"`
	Up        float64 `json:"up"` // Σ (x − mean − slack), and its minimum
	UpMin     float64 `json:"up_min"`
	Down      float64 `json:"down"` // Σ (x − mean + slack), and its maximum
	DownMax   float64 `json:"down_max"`
}

// Add folds in x and reports an alarm; the detector has reset itself then. A
// value that is not finite is ignored.
func (p *PageHinkley) Add(x float64) bool {
	if !finite(x) || p.Threshold <= 0 {
		return false
	}
	p.Count++
	p.Mean += (x - p.Mean) / float64(p.Count)
	p.Up += x - p.Mean - p.Slack
	p.UpMin = min(p.UpMin, p.Up)
	p.Down += x - p.Mean + p.Slack
	p.DownMax = max(p.DownMax, p.Down)
	if p.Up-p.UpMin > p.Threshold || p.DownMax-p.Down > p.Threshold {
		p.Reset()
		return true
	}
	return false
}

// Reset forgets what was seen and keeps the parameters.
func (p *PageHinkley) Reset() { *p = PageHinkley{Slack: p.Slack, Threshold: p.Threshold} }
