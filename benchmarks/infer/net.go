package infer

import (
	"math"

	"github.com/arqon/arqon/internal/seed"
)

const maxStages = 3

// sides[i] is the edge, in blocks, of the view that stage i takes.
var sides = [maxStages]int{7, 14, 28}

// dense is y = W·x + b with W row-major.
type dense struct {
	rows, cols int
	w, b       []float32
}

func newDense(rows, cols int) dense {
	return dense{rows: rows, cols: cols, w: make([]float32, rows*cols), b: make([]float32, rows)}
}

func (d *dense) row(r int) []float32 { return d.w[r*d.cols : (r+1)*d.cols] }

// network is a network in training: hidden[i] reads [view i, h(i−1)],
// heads[i] reads h(i) and gives the ten logits of exit i.
type network struct {
	hidden, heads []dense
}

// newNetwork makes a network of len(widths) stages with every weight zero.
func newNetwork(widths []int) *network {
	n := &network{}
	prev := 0
	for i, w := range widths {
		n.hidden = append(n.hidden, newDense(w, sides[i]*sides[i]+prev))
		n.heads = append(n.heads, newDense(classes, w))
		prev = w
	}
	return n
}

// initialise draws weights uniformly with the variance 2/fan-in of He et al.
// 2015, eq. 10; biases stay zero.
func (n *network) initialise(root seed.Root) {
	for i := range n.hidden {
		for j, d := range []*dense{&n.hidden[i], &n.heads[i]} {
			rng := seed.Stream(root, "infer/init", uint64(i), uint64(j))
			bound := float32(math.Sqrt(6 / float64(d.cols)))
			for k := range d.w {
				d.w[k] = float32((2*rng.Float32() - 1) * bound)
			}
		}
	}
}

// tensors lists every parameter slice in a fixed order.
func (n *network) tensors() [][]float32 {
	var out [][]float32
	for i := range n.hidden {
		out = append(out, n.hidden[i].w, n.hidden[i].b, n.heads[i].w, n.heads[i].b)
	}
	return out
}

// view writes the block means of the image, 0 to 1, for a stage: 49, 196 or
// 784 values.
func view(image *[pixels]byte, stage int, out []float32) {
	s := sides[stage]
	block := side / s
	scale := 1 / float32(255*block*block)
	if block == 1 {
		out = out[:pixels]
		for i, p := range image {
			out[i] = float32(p) * scale
		}
		return
	}
	for y := range s {
		for x := range s {
			out[y*s+x] = float32(blockSum(image, y*block, x*block, block)) * scale
		}
	}
}

func blockSum(image *[pixels]byte, y0, x0, block int) int32 {
	var sum int32
	for y := y0; y < y0+block; y++ {
		for _, p := range image[y*side+x0 : y*side+x0+block] {
			sum += int32(p)
		}
	}
	return sum
}

// activations of one image: in[i] is the input of hidden layer i (view and
// previous hidden), h[i] its output after the ReLU.
type activations struct {
	in [maxStages][]float32
	h  [maxStages][]float32
}

func newActivations(n *network) *activations {
	a := &activations{}
	for i := range n.hidden {
		a.in[i] = make([]float32, n.hidden[i].cols)
		a.h[i] = make([]float32, n.hidden[i].rows)
	}
	return a
}

// forward fills a for one image.
func (n *network) forward(image *[pixels]byte, a *activations) {
	for i := range n.hidden {
		l := &n.hidden[i]
		area := sides[i] * sides[i]
		view(image, i, a.in[i])
		if i > 0 {
			copy(a.in[i][area:], a.h[i-1])
		}
		for r := range l.rows {
			a.h[i][r] = max(0, l.b[r]+dot(l.row(r), a.in[i]))
		}
	}
}
