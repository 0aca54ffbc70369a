package prometheus

import (
	"net/http"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapesMax bounds the scrapes in flight.
const scrapesMax = 4

// Handler serves the collector's metrics with those of the Go runtime and the
// process, for hosts that have no registry of their own.
func (c *Collector) Handler() (http.Handler, error) {
	reg := prom.NewRegistry()
	for _, x := range []prom.Collector{c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := reg.Register(x); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesMax, Registry: reg}), nil
}
