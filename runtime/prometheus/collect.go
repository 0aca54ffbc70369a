package prometheus

import (
	"strconv"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/runtime"
)

func desc(name, help string, labels ...string) *prom.Desc {
	return prom.NewDesc("arqon_"+name, help, labels, nil)
}

// The names are the contract with dashboards and alerts: change none, add.
var (
	requestsDesc    = desc("requests_total", "Requests that a variant answered, as of the last collected window.", "class", "variant")
	shadowDesc      = desc("shadow_requests_total", "Copies of requests that a variant in shadow tried; none of them was sent to anybody.", "class", "variant")
	invalidDesc     = desc("invalid_values_total", "Recorded values that were no finite numbers.", "class", "variant")
	durationDesc    = desc("request_duration_seconds", "Latency of requests by variant.", "class", "variant")
	meanDesc        = desc("window_mean", "Mean of a recorded metric in the last window, in the metric's own unit.", "class", "variant", "metric")
	tripsDesc       = desc("guardrail_trips_total", "Times that a window broke a signed limit.", "class")
	retreatsDesc    = desc("rollbacks_total", "Times that a class went back to what served before or to the baseline.", "class", "reason")
	transitionsDesc = desc("transitions_total", "Steps of rollouts, by the state they led to.", "class", "state")
	decisionsDesc   = desc("decisions_total", "Answers of the executor to proposals.", "outcome", "reason")
	droppedDesc     = desc("telemetry_dropped_total", "Records and events that found no place.")
	stateDesc       = desc("rollout_state", "1 for the state in which a class's rollout is.", "class", "state")
	shareDesc       = desc("variant_share_ratio", "Share of a class's requests that a variant serves.", "class", "variant")
	releaseDesc     = desc("release_sequence", "Sequence number of the release in force.")
	generationDesc  = desc("snapshot_generation", "Snapshots published so far.")
	killedDesc      = desc("killed", "1 while the kill switch is on.")
	frozenDesc      = desc("frozen", "1 once the event log has failed and adaptation is frozen on the baseline.")
)

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prom.Desc) {
	for _, d := range []*prom.Desc{
		requestsDesc, shadowDesc, invalidDesc, durationDesc, meanDesc, tripsDesc, retreatsDesc, transitionsDesc, decisionsDesc,
		droppedDesc, stateDesc, shareDesc, releaseDesc, generationDesc, killedDesc, frozenDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prom.Metric) {
	if rt := c.rt.Load(); rt != nil {
		collectState(ch, rt)
	}
	names := c.classes()
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, a := range c.arms {
		class := names.of(key.class)
		counter(ch, requestsDesc, a.requests, class, key.variant)
		if a.copies > 0 {
			counter(ch, shadowDesc, a.copies, class, key.variant)
		}
		counter(ch, invalidDesc, a.invalid, class, key.variant)
		for m, mean := range a.means {
			gauge(ch, meanDesc, mean, class, key.variant, c.metrics[m].Name)
		}
		if c.latency >= 0 && a.count > 0 {
			buckets := map[float64]uint64{}
			for i, b := range c.options.Buckets {
				buckets[b] = a.buckets[i]
			}
			ch <- prom.MustNewConstHistogram(durationDesc, a.count, a.seconds, buckets, class, key.variant)
		}
	}
	for class, n := range c.trips {
		counter(ch, tripsDesc, n, class)
	}
	for _, x := range []struct {
		d *prom.Desc
		n map[[2]string]uint64
	}{{retreatsDesc, c.retreats}, {transitionsDesc, c.transitions}, {decisionsDesc, c.decisions}} {
		for key, n := range x.n {
			counter(ch, x.d, n, key[0], key[1])
		}
	}
	counter(ch, droppedDesc, c.dropped)
}

// collectState reads where the runtime stands now.
func collectState(ch chan<- prom.Metric, rt *runtime.Runtime) {
	snap := rt.Load()
	gauge(ch, releaseDesc, float64(snap.Release()))
	gauge(ch, generationDesc, float64(snap.Generation()))
	gauge(ch, killedDesc, truth(rt.Killed() != runtime.NoReason))
	gauge(ch, frozenDesc, truth(rt.Executor().Frozen() != nil))
	for i, name := range rt.Classes() {
		class := runtime.Class(i)
		if st, ok := rt.Executor().Status(class); ok {
			for s := runtime.Idle; s <= runtime.Killed; s++ {
				gauge(ch, stateDesc, truth(st.State == s), name, s.String())
			}
		}
		candidate, share := snap.Candidate(class)
		if share > 0 {
			gauge(ch, shareDesc, share, name, variantName(candidate))
		}
		if incumbent := snap.Select(class); incumbent != candidate || share == 0 {
			gauge(ch, shareDesc, 1-share, name, variantName(incumbent))
		}
	}
}

func variantName(id catalog.VariantID) string { return strconv.FormatUint(uint64(id), 10) }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func counter(ch chan<- prom.Metric, d *prom.Desc, n uint64, labels ...string) {
	ch <- prom.MustNewConstMetric(d, prom.CounterValue, float64(n), labels...)
}

func gauge(ch chan<- prom.Metric, d *prom.Desc, x float64, labels ...string) {
	ch <- prom.MustNewConstMetric(d, prom.GaugeValue, x, labels...)
}
