package main

import (
	"math"

	"github.com/arqon/arqon/benchmarks/infer"
)

// sense recognises drifted inputs: it compares the mean look of a window with
// the mean look of each context's traffic. It sees no labels.
type sense struct {
	contexts []string
	looks    []look
	scale    look
}

// look is what a window of images looks like: brightness, share of dark
// pixels, roughness, and the brightness of the four borders.
type look [looks]float64

const (
	looks       = 7
	side        = 28
	border      = 3  // pixels that a shift can push the image into
	darkBelow   = 24 // of 255
	senseImages = 400
)

func newSense(data *infer.Data, contexts []string, root uint64) (*sense, error) {
	s := &sense{contexts: contexts}
	for _, c := range contexts {
		stream, err := infer.NewStream(data, c, root+1)
		if err != nil {
			return nil, err
		}
		var l look
		for range senseImages {
			image, _ := stream.Next()
			l.add(image)
		}
		s.looks = append(s.looks, l.over(senseImages))
	}
	for i := range s.scale {
		s.scale[i] = 1
		if n := len(s.looks); n > 0 {
			var mean, square float64
			for _, l := range s.looks {
				mean += l[i] / float64(n)
			}
			for _, l := range s.looks {
				square += (l[i] - mean) * (l[i] - mean) / float64(n)
			}
			s.scale[i] = math.Sqrt(square) + 1e-3
		}
	}
	return s, nil
}

// recognise returns the context that the inputs look like. Contexts that look
// the same are told apart by what the host knows of itself: declared wins
// among the nearest.
func (s *sense) recognise(l look, declared string) string {
	nearest, best, own := declared, math.Inf(1), math.Inf(1)
	for i, c := range s.contexts {
		d := s.distance(l, s.looks[i])
		if c == declared {
			own = d
		}
		if d < best {
			nearest, best = c, d
		}
	}
	if own <= 2*best+.1 {
		return declared
	}
	return nearest
}

func (s *sense) distance(a, b look) float64 {
	d := 0.0
	for i := range a {
		x := (a[i] - b[i]) / s.scale[i]
		d += x * x
	}
	return math.Sqrt(d)
}

// add looks at one image.
func (l *look) add(image *[side * side]byte) {
	sum, dark, rough := 0, 0, 0
	for i, p := range image {
		sum += int(p)
		if p < darkBelow {
			dark++
		}
		if i%side > 0 {
			rough += abs(int(p) - int(image[i-1]))
		}
		x, y := i%side, i/side
		for k, in := range [4]bool{x < border, x >= side-border, y < border, y >= side-border} {
			if in {
				l[3+k] += float64(p) / (255 * border * side)
			}
		}
	}
	const n = side * side
	l[0] += float64(sum) / (255 * n)
	l[1] += float64(dark) / n
	l[2] += float64(rough) / (255 * n)
}

func (l look) over(n int) look {
	for i := range l {
		l[i] /= float64(n)
	}
	return l
}

func abs(x int) int {
	if x < 0 {
		return -x
	}
	return x
}
