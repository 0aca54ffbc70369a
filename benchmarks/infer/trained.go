package infer

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/arqon/arqon/internal/seed"
)

// trained is everything Build needs: the base network, the adapters' heads and
// the statistics of the calibration images.
type trained struct {
	net      *network
	adapters map[string][]dense
	data     *Data

	statsMu sync.Mutex
	stats   map[string]*[maxStages]layerStats // by adapter
}

// layerStats describes what goes into a hidden layer and comes out of it on
// calibration images, disturbed as an adapter's diet says.
type layerStats struct {
	mean   []float32 // of every input
	spread []float32 // √sd of every input, at least .1
	out    []float32 // every output of every image, ascending: quantiles by index
}

// statsImages is the number of calibration images behind layerStats.
const statsImages = 1000

// obtain returns the trained network from the cache or by training.
func obtain(ctx context.Context, data *Data, r recipe, opts Options) (*trained, error) {
	key := cacheKey(data, r, opts.Seed)
	t := &trained{data: data}
	net, adapters, err := readCache(opts.CacheDir, key, r)
	if err != nil {
		opts.Progress("infer: " + err.Error() + "; training again")
	}
	if net == nil {
		if net, adapters, err = trainAll(ctx, data, r, opts); err != nil {
			return nil, err
		}
		if err := writeCache(opts.CacheDir, key, net, adapters); err != nil {
			opts.Progress("infer: the trained weights are not cached: " + err.Error())
		}
	}
	t.net, t.adapters = net, adapters
	return t, nil
}

func trainAll(ctx context.Context, data *Data, r recipe, opts Options) (*network, map[string][]dense, error) {
	root := seed.Root(opts.Seed)
	opts.Progress(fmt.Sprintf("infer: training on %d images, recipe %s", r.Images, r.Name))
	net, err := train(ctx, &data.Train, r, root, opts.Progress)
	if err != nil {
		return nil, nil, err
	}
	adapters := map[string][]dense{}
	for _, name := range adapterNames[1:] {
		heads, err := net.trainAdapter(ctx, &data.Calibration, r, name, root)
		if err != nil {
			return nil, nil, fmt.Errorf("adapter %s: %w", name, err)
		}
		adapters[name] = heads
		opts.Progress("infer: adapter " + name + " trained")
	}
	return net, adapters, nil
}

// statsFor returns the statistics for inputs that the adapter is for.
func (t *trained) statsFor(adapter string) *[maxStages]layerStats {
	t.statsMu.Lock()
	defer t.statsMu.Unlock()
	if s := t.stats[adapter]; s != nil {
		return s
	}
	if t.stats == nil {
		t.stats = map[string]*[maxStages]layerStats{}
	}
	t.stats[adapter] = t.measureStats(adapter)
	return t.stats[adapter]
}

// measureStats goes in image order, so its sums are always the same.
func (t *trained) measureStats(adapter string) *[maxStages]layerStats {
	var out [maxStages]layerStats
	act := newActivations(t.net)
	var sum, square [maxStages][]float64
	for i, l := range t.net.hidden {
		sum[i], square[i] = make([]float64, l.cols), make([]float64, l.cols)
		out[i].out = make([]float32, 0, statsImages*l.rows)
	}
	mouths := dietOf(adapter, 0, "infer/stats")
	images := t.data.Calibration.Images[:statsImages]
	var img [pixels]byte
	for k := range images {
		mouths[k%len(mouths)].apply(&images[k], k, &img)
		t.net.forward(&img, act)
		for i := range t.net.hidden {
			for j, x := range act.in[i] {
				sum[i][j] += float64(x)
				square[i][j] += float64(float64(x) * float64(x))
			}
			out[i].out = append(out[i].out, act.h[i]...)
		}
	}
	for i, l := range t.net.hidden {
		s := &out[i]
		s.mean, s.spread = make([]float32, l.cols), make([]float32, l.cols)
		for j := range s.mean {
			mean := sum[i][j] / statsImages
			variance := square[i][j]/statsImages - float64(mean*mean)
			s.mean[j] = float32(mean)
			s.spread[j] = float32(math.Sqrt(math.Sqrt(max(1e-4, variance))))
		}
		slices.Sort(s.out)
	}
	return &out
}
