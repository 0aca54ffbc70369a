// Package infer is the flagship domain: image classification by a multi-scale
// early-exit network that the package trains from scratch on Fashion-MNIST.
//
// The network looks at an image three times, each time closer, and may answer
// after each look (B. stands for "block mean of the 28×28 image"):
//
//	stage 0: [B. 7×7]          → 32 ReLU  → exit 0
//	stage 1: [B. 14×14, h0]    → 96 ReLU  → exit 1
//	stage 2: [28×28, h1]       → 256 ReLU → exit 2
//
// A point of the space says when to leave early, how much of each stage to
// prune, in which precision to compute, which adapter (retrained exit heads)
// to wear and which stages to carry at all. [Domain.Build] turns it into one
// compact file, and [OpenModel] turns the file into a [Model] that predicts
// without allocating: the same loader serves the gates and the host.
//
// The search sees training and validation images only; the 10,000 test images
// are read when Request.Purpose is ForGates and by [NewStream].
//
// Equal seeds give equal bytes on one architecture for any GOMAXPROCS: sums
// run in a fixed order, products are rounded before they are added, and the
// exponential is the package's own.
//
// It is not a training framework: there is one family of networks here.
//
// # What there is to discover
//
// On all 10,000 test images; 2 cores, Xeon (model 167), Go 1.26, seed 1;
// CPU time a request. ARQON_INFER_OPPORTUNITY=1 go test ./benchmarks/infer -run
// TestOpportunity -v measures it again.
//
//	variant                accuracy      MACs    µs    KB
//	f32, all stages           .8585   251,296    80  1012   the baseline
//	exits at .90              .8580   139,813    45  1012
//	exits at .80              .8564   106,744    35  1012
//	exits at .50              .8194    28,724    10  1012
//	pruned .30 .70 .80        .8411    55,281    32   259
//	the same, exits at .80    .8410    28,648    16   259
//	escalate at .80           .8567   161,314    50  1012
//	small (two stages)        .8284    24,416    10   100
//	int8                      .8586   251,296    83   257
//	int4                      .8588   251,296    49   133
//	int4, exits at .80        .8550   106,574    21   133
//	int4, pruned              .8425    55,281    38    66
//
//	context     baseline   exits at .80   with its adapter
//	shifted        .3748          .3815              .7160
//	noisy          .6369          .6379              .8159
//	inverted       .0802          .0507              .8188
//
// What does not work is kept: a sparse MAC costs 1.8 dense ones (pruning all
// stages by .20 gave 106 µs, by .40 82, by .60 57, at .8591, .8584, .8549);
// int8 is no faster than f32; and under inversion early exits are sure of wrong answers.
package infer

import (
	"context"
	"fmt"
	"sync"

	"github.com/arqon/arqon/benchmarks"
)

// Options say where things are. The zero Options look for the data in the
// usual places, cache nothing and train with seed 0.
type Options struct {
	// DataDir holds the four idx files, plain or .gz; "" means
	// $ARQON_FASHION_MNIST, or the folder of Debian's dataset-fashion-mnist.
	DataDir string
	// CacheDir keeps trained weights between runs; "" trains every time.
	CacheDir string
	// Seed is the root of initial weights, batches and adapter draws.
	Seed uint64
	// Progress is told what takes long, one line a call; nil is silent.
	Progress func(string)
	// Quick trains on a fifth of the images: for tests, not for claims.
	Quick bool
}

// Domain implements benchmarks.Domain. It may be used by several goroutines.
type Domain struct {
	opts Options

	dataOnce sync.Once
	data     *Data
	dataErr  error

	trainMu sync.Mutex
	trained *trained
}

var _ benchmarks.Domain = (*Domain)(nil)

// New makes the domain. Nothing is read or trained before it is needed, so a
// missing data set is reported by the first Build or Measure (ErrNoData).
func New(opts Options) (*Domain, error) {
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	return &Domain{opts: opts}, nil
}

// Data returns the data set, reading it on first use.
func (d *Domain) Data() (*Data, error) {
	d.dataOnce.Do(func() { d.data, d.dataErr = LoadData(d.opts.DataDir) })
	return d.data, d.dataErr
}

// Prepare reads the data and trains, or finds the trained weights in the
// cache. Build calls it; a caller that wants the wait elsewhere may too.
func (d *Domain) Prepare(ctx context.Context) error {
	_, err := d.base(ctx)
	return err
}

func (d *Domain) base(ctx context.Context) (*trained, error) {
	data, err := d.Data()
	if err != nil {
		return nil, err
	}
	d.trainMu.Lock()
	defer d.trainMu.Unlock()
	if d.trained != nil {
		return d.trained, nil
	}
	r := fullRecipe()
	if d.opts.Quick {
		r = quickRecipe()
	}
	t, err := obtain(ctx, data, r, d.opts)
	if err != nil {
		return nil, fmt.Errorf("train the base network: %w", err)
	}
	d.trained = t
	return t, nil
}
