package infer

import (
	"context"
	"fmt"
	"math"

	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/internal/seed"
)

// The images that Check looks at: a fixed set, and the same ones disturbed in
// ways drawn from the check's seed.
const checkImages = 32

// logitTolerance is how far the kernels may be from the oracle, which sums in
// float64 (integers exactly), relative to 1+|logit|.
const logitTolerance = 1e-3

// Check implements benchmarks.Instance.
func (in *instance) Check(ctx context.Context, root uint64) ([]benchmarks.Check, error) {
	data, err := in.domain.Data()
	if err != nil {
		return nil, err
	}
	images := checkSet(&data.Validation, root)
	checks := []struct {
		name string
		run  func(*Model, [][pixels]byte) string
	}{
		{"file round trip", checkRoundTrip},
		{"golden outputs", checkOracle},
		{"probabilities", checkProbabilities},
		{"deterministic", checkTwice},
		{"exits monotone in thresholds", checkMonotone},
	}
	var out []benchmarks.Check
	for _, c := range checks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		wrong := c.run(in.model, images)
		out = append(out, benchmarks.Check{Name: c.name, Pass: wrong == "", Detail: wrong})
	}
	return out, nil
}

// checkSet returns the first validation images, untouched, and then disturbed.
func checkSet(split *Split, root uint64) [][pixels]byte {
	n := min(checkImages, split.Len())
	out := make([][pixels]byte, 0, 2*n+2)
	out = append(out, split.Images[:n]...)
	kinds := []disturbance{{"noise", 0.5}, {"shift", 5}, {"occlude", 0.4}, {"invert", 1}}
	for i := range n {
		d := newDisturber(seed.Derive(seed.Root(root), "infer/check"), kinds[i%len(kinds)])
		var img [pixels]byte
		d.apply(&split.Images[i], i, &img)
		out = append(out, img)
	}
	var black, white [pixels]byte
	for i := range white {
		white[i] = 255
	}
	return append(out, black, white)
}

// checkRoundTrip writes the model again and compares what the copy answers.
func checkRoundTrip(m *Model, images [][pixels]byte) string {
	again, err := OpenModel(m.encode())
	if err != nil {
		return "the model does not open again: " + err.Error()
	}
	var w Workspace
	for i := range images {
		if a, b := m.Predict(&images[i], &w), again.Predict(&images[i], &w); a != b {
			return fmt.Sprintf("image %d: %+v, and after a round trip %+v", i, a, b)
		}
	}
	return ""
}

func checkTwice(m *Model, images [][pixels]byte) string {
	var fresh, used Workspace
	for i := range images {
		if a, b := m.Predict(&images[i], &used), m.Predict(&images[i], &used); a != b {
			return fmt.Sprintf("image %d: %+v, then %+v", i, a, b)
		}
	}
	last := len(images) - 1
	if a, b := m.Predict(&images[last], &fresh), m.Predict(&images[last], &used); a != b {
		return fmt.Sprintf("a used workspace changes the answer: %+v, %+v", a, b)
	}
	return ""
}

func checkProbabilities(m *Model, images [][pixels]byte) string {
	var w Workspace
	for i := range images {
		got := m.Predict(&images[i], &w)
		sum := 0.0
		for c, p := range w.Probabilities() {
			if !(p >= 0 && p <= 1) {
				return fmt.Sprintf("image %d: class %d has probability %v", i, c, p)
			}
			sum += float64(p)
		}
		if math.Abs(sum-1) > 1e-5 {
			return fmt.Sprintf("image %d: probabilities sum to %v", i, sum)
		}
		if got.Confidence != w.p[got.Class] || got.MACs < 1 || got.MACs > m.FullMACs() {
			return fmt.Sprintf("image %d: %+v does not fit its probabilities or costs", i, got)
		}
	}
	return ""
}

// checkMonotone raises the thresholds and expects exits that never get earlier.
func checkMonotone(m *Model, images [][pixels]byte) string {
	var w Workspace
	for i := range images {
		before := -1
		for _, t := range []float32{0.2, 0.4, 0.6, 0.8, 0.95, 1} {
			exit := m.PredictAt(&images[i], &w, Thresholds{t, t}).Exit
			if exit < before {
				return fmt.Sprintf("image %d: exit %d at threshold %v, %d at a lower one", i, exit, t, before)
			}
			before = exit
		}
		if before != len(m.stages)-1 {
			return fmt.Sprintf("image %d: thresholds of 1 end at exit %d", i, before)
		}
	}
	return ""
}

// checkOracle compares every exit's logits with the oracle's, and the answer
// wherever the oracle is not undecided within the tolerance.
func checkOracle(m *Model, images [][pixels]byte) string {
	o := newOracle(m)
	var w Workspace
	for i := range images {
		want := o.logits(&images[i])
		for exit := range m.stages {
			t := Thresholds{1, 1}
			if exit < len(t) {
				t[exit] = 1e-9 // answers here, whatever the confidence
			}
			got := m.PredictAt(&images[i], &w, t)
			if got.Exit != exit {
				return fmt.Sprintf("image %d: exit %d answers instead of %d", i, got.Exit, exit)
			}
			best := 0
			for c, z := range want[exit] {
				if off := math.Abs(z - float64(w.logits[c])); !(off <= logitTolerance*(1+math.Abs(z))) {
					return fmt.Sprintf("image %d, exit %d, class %d: logit %v, the oracle says %v", i, exit, c, w.logits[c], z)
				}
				if z > want[exit][best] {
					best = c
				}
			}
			if want[exit][best]-want[exit][got.Class] > 2*logitTolerance*(1+math.Abs(want[exit][best])) {
				return fmt.Sprintf("image %d, exit %d: class %d, the oracle says %d", i, exit, got.Class, best)
			}
		}
	}
	return ""
}

// oracle is the slow, obvious implementation: it unpacks the file's own
// fields (never the kernels' forms) into float64 matrices and multiplies.
type oracle struct {
	m                *Model
	view, prev, head [maxStages][]float64
}

func newOracle(m *Model) *oracle {
	o := &oracle{m: m}
	for i := range m.stages {
		o.view[i] = m.stages[i].view.unpack()
		o.prev[i] = m.stages[i].prev.unpack()
		o.head[i] = m.stages[i].head.unpack()
	}
	return o
}

// unpack returns rows×cols weights; quantized ones as integers, without scale.
func (m *matrix) unpack() []float64 {
	out := make([]float64, m.rows*m.cols)
	at := 0 // weights consumed
	for r := range m.rows {
		for j := range m.cols {
			if m.enc.sparse() && m.bitmap[r*m.bitmapStride()+j/8]>>(j%8)&1 == 0 {
				continue
			}
			var x float64
			switch m.enc {
			case encF32, encSparseF32:
				v := m.vals[4*at:]
				x = float64(math.Float32frombits(uint32(v[0]) | uint32(v[1])<<8 | uint32(v[2])<<16 | uint32(v[3])<<24))
			case encI8, encSparseI8:
				x = float64(int8(m.vals[at]))
			case encI4:
				x = float64(m.vals[r*m.nibbleStride()+j/2]>>(4*(j%2))&15) - 8
			case encSparseI4:
				x = float64(m.vals[at/2]>>(4*(at%2))&15) - 8
			}
			out[r*m.cols+j] = x
			at++
		}
	}
	return out
}

// add returns z plus row r of the unpacked matrix w times x. Quantized sums
// are exact; they are scaled and added in float32, as the format says, because
// the next stage rounds what comes out.
func (m *matrix) add(z float64, w []float64, r int, x []float64) float64 {
	sum := 0.0
	for j := range x {
		sum += w[r*len(x)+j] * x[j]
	}
	if !m.enc.quantized() {
		return z + sum
	}
	return float64(float32(z) + float32(m.scale[r]*float32(sum)))
}

// logits returns the ten logits of every exit.
func (o *oracle) logits(image *[pixels]byte) [][]float64 {
	var all [][]float64
	var h []float64
	for i := range o.m.stages {
		s := &o.m.stages[i]
		in := o.look(image, i)
		next := make([]float64, s.width)
		for r := range next {
			z := s.view.add(float64(s.bias[r]), o.view[i], r, in)
			if i > 0 {
				z = s.prev.add(z, o.prev[i], r, h)
			}
			next[r] = math.Max(0, z)
			if o.m.quantized {
				steps := float32(next[r]) * (1 / s.step)
				next[r] = math.Min(255, math.Floor(float64(steps+0.5)))
			}
		}
		h = next
		z := make([]float64, classes)
		for c := range z {
			z[c] = s.head.add(float64(s.headBias[c]), o.head[i], c, h)
		}
		all = append(all, z)
	}
	return all
}

// look returns the block means in the model's unit: 0 to 1, or 0 to 255 whole.
func (o *oracle) look(image *[pixels]byte, i int) []float64 {
	n := sides[i]
	block := side / n
	out := make([]float64, n*n)
	for y := range side {
		for x := range side {
			out[y/block*n+x/block] += float64(image[y*side+x]) / float64(block*block)
		}
	}
	for k := range out {
		if o.m.quantized {
			out[k] = math.Floor(out[k] + 0.5)
		} else {
			out[k] /= 255
		}
	}
	return out
}
