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
	noise    look // standard deviation of a window's look within a context
}

// look is what a window of images looks like: brightness, share of dark
// pixels, roughness, brightness of the borders, and how much left differs from
// right and top from bottom.
type look [looks]float64

const (
	looks        = 6
	side         = 28
	border       = 3  // pixels that a shift can push the image into
	darkBelow    = 24 // of 255
	senseWindows = 8
	alikeSD      = 2 // looks within so many standard deviations of the nearest are the same look
)

func newSense(data *infer.Data, contexts []string, window int, root uint64) (*sense, error) {
	s := &sense{contexts: contexts}
	for _, c := range contexts {
		stream, err := infer.NewStream(data, c, root+1)
		if err != nil {
			return nil, err
		}
		var windows [senseWindows]look
		var mean look
		for w := range windows {
			for range window {
				image, _ := stream.Next()
				windows[w].add(image)
			}
			windows[w] = windows[w].over(window)
			for i, x := range windows[w] {
				mean[i] += x / senseWindows
			}
		}
		for i := range mean {
			for _, l := range windows {
				s.noise[i] += (l[i] - mean[i]) * (l[i] - mean[i]) / float64((senseWindows-1)*len(contexts))
			}
		}
		s.looks = append(s.looks, mean)
	}
	for i := range s.noise {
		s.noise[i] = math.Sqrt(s.noise[i]) + 1e-4
	}
	return s, nil
}

// recognise returns the context that the inputs look like. Contexts that look
// the same are told apart by what the host knows of itself: declared wins
// among those that are as near as chance allows.
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
	if own <= best+alikeSD {
		return declared
	}
	return nearest
}

func (s *sense) distance(a, b look) float64 {
	d := 0.0
	for i := range a {
		x := (a[i] - b[i]) / s.noise[i]
		d += x * x
	}
	return math.Sqrt(d)
}

// add looks at one image.
func (l *look) add(image *[side * side]byte) {
	sum, dark, rough := 0, 0, 0
	var sides [4]float64 // left, right, top, bottom
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
				sides[k] += float64(p) / (255 * border * side)
			}
		}
	}
	const n = side * side
	l[0] += float64(sum) / (255 * n)
	l[1] += float64(dark) / n
	l[2] += float64(rough) / (255 * n)
	l[3] += (sides[0] + sides[1] + sides[2] + sides[3]) / 4
	l[4] += math.Abs(sides[0] - sides[1])
	l[5] += math.Abs(sides[2] - sides[3])
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
