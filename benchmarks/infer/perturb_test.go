package infer

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestDisturbancesDependOnSeedAndPlaceAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		root := rapid.Uint64().Draw(rt, "root")
		steps := []disturbance{
			{rapid.SampledFrom([]string{"", "shift", "noise", "invert", "occlude"}).Draw(rt, "first"), 1},
			{rapid.SampledFrom([]string{"", "noise", "occlude"}).Draw(rt, "second"), 0.3},
		}
		images := randomImages(4, root)
		forward, backward := newDisturber(root, steps...), newDisturber(root, steps...)
		var a [4][pixels]byte
		for i := range images {
			forward.apply(&images[i], i, &a[i])
		}
		for i := len(images) - 1; i >= 0; i-- {
			var b [pixels]byte
			backward.apply(&images[i], i, &b)
			if a[i] != b {
				rt.Fatalf("image %d depends on the order", i)
			}
		}
		if forward.idle() && a[0] != images[0] {
			rt.Fatal("an idle disturber changes images")
		}
	})
}

func TestShiftThereAndBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		px := rapid.IntRange(0, 10).Draw(rt, "px")
		way := rapid.SampledFrom(compass[:]).Draw(rt, "way")
		in := randomImages(1, rapid.Uint64().Draw(rt, "image"))[0]
		var there, back [pixels]byte
		shift(&in, way[0]*px, way[1]*px, &there)
		shift(&there, -way[0]*px, -way[1]*px, &back)
		for y := px; y < side-px; y++ {
			for x := px; x < side-px; x++ {
				if back[y*side+x] != in[y*side+x] {
					rt.Fatalf("pixel %d, %d changed", x, y)
				}
			}
		}
	})
}

func TestNoiseHasTheSpreadItSays(t *testing.T) {
	var gray [pixels]byte
	for i := range gray {
		gray[i] = 128
	}
	d := newDisturber(1, disturbance{"noise", 0.1})
	sum, square, n := 0.0, 0.0, 0.0
	var out [pixels]byte
	for i := range 100 {
		d.apply(&gray, i, &out)
		for _, p := range out {
			x := (float64(p) - 128) / 255
			sum += x
			square += x * x
			n++
		}
	}
	mean, sd := sum/n, math.Sqrt(square/n)
	if math.Abs(mean) > 0.002 || math.Abs(sd-0.1) > 0.002 {
		t.Errorf("mean %v, sd %v; want 0 and .1", mean, sd)
	}
}

func TestOcclusionCoversItsShare(t *testing.T) {
	var white, out [pixels]byte
	for i := range white {
		white[i] = 255
	}
	for _, share := range []float64{0.1, 0.25, 0.5, 1} {
		d := newDisturber(2, disturbance{"occlude", share})
		for i := range 20 {
			d.apply(&white, i, &out)
			black := 0
			for _, p := range out {
				if p == 0 {
					black++
				}
			}
			if got := float64(black) / pixels; math.Abs(got-share) > 0.04 {
				t.Errorf("share %v covers %v", share, got)
			}
		}
	}
}

func TestTrafficIsReplayable(t *testing.T) {
	data := testData(t)
	for _, context := range []string{LowLoad, Burst, Memory300K, Shifted, Noisy, Inverted} {
		a, err := NewStream(data, context, 5)
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewStream(data, context, 5)
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewStream(data, context, 6)
		if err != nil {
			t.Fatal(err)
		}
		differs := false
		for range 50 {
			x, lx := a.Next()
			y, ly := b.Next()
			z, _ := c.Next()
			if *x != *y || lx != ly {
				t.Fatalf("%s: equal seeds, different traffic", context)
			}
			differs = differs || *x != *z
		}
		if !differs {
			t.Errorf("%s: another seed, the same traffic", context)
		}
	}
	if _, err := NewStream(data, "rush-hour", 1); err == nil {
		t.Error("an unknown context has traffic")
	}
}
