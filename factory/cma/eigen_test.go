package cma

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"
)

// Rows are orthonormal, V·C·Vᵀ is the diagonal of the eigenvalues, and they are
// those of gonum's EigenSym.
func TestEigen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 24).Draw(t, "n")
		scale := math.Pow(10, rapid.Float64Range(-6, 6).Draw(t, "log10 of the condition"))
		c := make([]float64, n*n)
		sym := mat.NewSymDense(n, nil)
		for i := range n {
			for j := i; j < n; j++ {
				x := float64(rapid.IntRange(-1000, 1000).Draw(t, "c")) / 1000
				if rapid.IntRange(0, 3).Draw(t, "zero") == 0 {
					x = 0
				}
				x *= math.Pow(scale, float64(i+j)/float64(2*n))
				c[i*n+j] = x
				sym.SetSym(i, j, x)
			}
		}
		var g eigen
		g.resize(n)
		v, w := make([]float64, n*n), make([]float64, n)
		if !g.decompose(c, v, w) {
			t.Fatal("does not converge")
		}
		var want mat.EigenSym
		if !want.Factorize(sym, false) {
			t.Fatal("gonum's does not converge")
		}
		size := mat.Norm(sym, 2) + 1e-300
		for i, l := range want.Values(nil) {
			if math.Abs(l-w[i]) > 1e-12*size*float64(n) {
				t.Fatalf("eigenvalue %d: %v, gonum says %v", i, w[i], l)
			}
		}
		rows := mat.NewDense(n, n, v)
		var p, q mat.Dense
		p.Mul(rows, rows.T())
		q.Product(rows, sym, rows.T())
		for i := range n {
			for j := range n {
				one, value := 0., 0.
				if i == j {
					one, value = 1, w[i]
				}
				if math.Abs(p.At(i, j)-one) > 1e-12*float64(n) || math.Abs(q.At(i, j)-value) > 1e-12*size*float64(n) {
					t.Fatalf("row %d and %d: %v, %v", i, j, p.At(i, j), q.At(i, j))
				}
			}
		}
	})
}

// Elements whose squares vanish: gonum's EigenSym panics on this one.
func TestEigenOfNextToNothing(t *testing.T) {
	for _, c := range [][]float64{{0, 5.6e-163, 0, 1}, {0, 5.6e-163, 0, 0}, {0, 0, 0, 0}, {1e-300, 1e-301, 0, 1e-300}, {1e300, 1e299, 0, 1e300}} {
		var g eigen
		g.resize(2)
		v, w := make([]float64, 4), make([]float64, 2)
		if !g.decompose(c, v, w) {
			t.Fatalf("%v does not converge", c)
		}
		trace := c[0] + c[3]
		if math.Abs(w[0]+w[1]-trace) > 1e-12*(math.Abs(trace)+1e-163) {
			t.Errorf("%v has the eigenvalues %v", c, w)
		}
	}
}
