package cma

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"github.com/arqon/arqon/factory/engine"
)

// Version of the snapshot's format. It changes whenever a state of an older
// program would not go on to the same points.
const snapshotVersion = 3

// state is everything that Ask and Tell read: the wire form of a snapshot.
// Pieces are named as in run and plan.
type state struct {
	RNG []byte `json:"rng"` // PCG

	Lambda int           `json:"lambda"`
	Mean   []float64     `json:"mean"`
	Sigma  float64       `json:"sigma"`
	Sigma0 float64       `json:"sigma0"`
	PS     []float64     `json:"ps"`
	PC     []float64     `json:"pc"`
	C      []float64     `json:"c"`
	D      []float64     `json:"d"`
	BT     []float64     `json:"bt"` // none of a separable run
	Gen    int           `json:"gen"`
	EigGen int           `json:"eig_gen"`
	Rate   *rateState    `json:"rate,omitempty"`
	Again  *againState   `json:"reevaluate,omitempty"`
	X      []float64     `json:"x"` // asked points only
	Y      []float64     `json:"y"`
	Norm2  []float64     `json:"norm2"`
	Loss   []engine.Loss `json:"loss"` // told ones only

	Scouts *scoutState `json:"scouts,omitempty"` // then no samples are

	HistBest   []engine.Loss `json:"hist_best"`
	HistMedian []engine.Loss `json:"hist_median"`
	Blind      int           `json:"blind"`

	Restarts   int `json:"restarts"`
	Large      int `json:"large"`
	Growths    int `json:"growths"`
	SpentLarge int `json:"spent_large"`
	SpentSmall int `json:"spent_small"`
	Regime     int `json:"regime"`

	Evals    int         `json:"evals"`
	Best     []float64   `json:"best"`
	BestLoss engine.Loss `json:"best_loss"`
	Stop     string      `json:"stop"`
}

// rateState is the wire form of rate.
type rateState struct {
	EtaM     float64   `json:"eta_m"`
	EtaSigma float64   `json:"eta_sigma"`
	EM       []float64 `json:"e_m"`
	ESigma   []float64 `json:"e_sigma"`
	VM       float64   `json:"v_m"`
	VSigma   float64   `json:"v_sigma"`
}

// Snapshot returns the whole state, random state included, with a version and
// a checksum.
func (o *Optimizer) Snapshot() ([]byte, error) {
	s, err := o.state()
	if err != nil {
		return nil, err
	}
	return engine.Seal("cma-core", snapshotVersion, o.fingerprint(), s)
}

// Restore takes back what Snapshot returned for the same Config: the next Ask
// is the same. Any refusal wraps engine.ErrSnapshot, names the field and
// leaves the optimizer as it was.
func (o *Optimizer) Restore(b []byte) error {
	var s state
	if err := engine.Unseal("cma-core", snapshotVersion, o.fingerprint(), b, &s); err != nil {
		return err
	}
	return o.setState(&s)
}

func (o *Optimizer) fingerprint() string {
	b, err := json.Marshal(o.cfg)
	if err != nil {
		panic(err) // New has refused what JSON cannot hold
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (o *Optimizer) state() (*state, error) {
	rng, err := o.pcg.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("cma rng: %w", err)
	}
	r, p := &o.run, &o.plan
	n := r.s.n
	asked, told := 0, 0 // points
	if !o.scouts.on {
		asked, _ = o.begun(o.asked)
		told, _ = o.begun(o.told)
	}
	s := &state{
		RNG: rng, Lambda: r.s.lambda, Mean: r.m, Sigma: r.sigma, Sigma0: r.sigma0,
		PS: r.ps, PC: r.pc, Gen: r.gen, EigGen: r.eigenGen,
		X: r.x[:asked*n], Y: r.y[:asked*n], Norm2: r.norm2[:asked],
		Loss:   losses(r.loss[:told]),
		Scouts: o.scoutState(), Again: o.againState(),
		HistBest: losses(r.hist.best), HistMedian: losses(r.hist.median), Blind: r.hist.blind,
		Restarts: p.restarts, Large: p.large, Growths: p.growths,
		SpentLarge: p.spentLarge, SpentSmall: p.spentSmall, Regime: int(p.regime),
		Evals: o.evals, Best: o.best, BestLoss: engine.Loss(o.bestLoss), Stop: o.stop,
	}
	switch c := r.shape.(type) {
	case *full:
		s.C, s.D, s.BT = c.c, c.d, c.bt
	case *diagonal:
		s.C, s.D = c.c, c.d
	}
	if a := r.rate; a != nil {
		s.Rate = &rateState{EtaM: a.etaM, EtaSigma: a.etaSigma, EM: a.eM, ESigma: a.eSigma, VM: a.vM, VSigma: a.vSigma}
	}
	return s, nil
}

func losses(v []float64) []engine.Loss {
	out := make([]engine.Loss, len(v))
	for i, f := range v {
		out[i] = engine.Loss(f)
	}
	return out
}

// check refuses a state that no Snapshot of this optimizer can hold.
func (s *state) check(n int, form Form, adapts bool) error {
	refuse := func(field string, got any) error {
		return fmt.Errorf("%w: %s: %v", engine.ErrSnapshot, field, got)
	}
	if s.Lambda < 2 || s.Lambda > maxLambda {
		return refuse("lambda", s.Lambda)
	}
	asked := len(s.Norm2)
	if asked > s.Lambda {
		return refuse("norm2", fmt.Sprintf("%d values for a population of %d", asked, s.Lambda))
	}
	square, vectors := n*n, n*n
	if form == Separable {
		square, vectors = n, 0
	}
	for _, f := range []struct {
		name string
		v    []float64
		want int
	}{
		{"mean", s.Mean, n}, {"ps", s.PS, n}, {"pc", s.PC, n}, {"c", s.C, square}, {"d", s.D, n},
		{"bt", s.BT, vectors}, {"x", s.X, asked * n}, {"y", s.Y, asked * n}, {"best", s.Best, n},
	} {
		if len(f.v) != f.want {
			return refuse(f.name, fmt.Sprintf("%d values, want %d", len(f.v), f.want))
		}
	}
	switch a := s.Rate; {
	case adapts != (a != nil):
		return refuse("rate", "adapted in one of the two alone")
	case a != nil && (len(a.EM) != n || len(a.ESigma) != n*n):
		return refuse("rate", fmt.Sprintf("e_m has %d values, e_sigma %d", len(a.EM), len(a.ESigma)))
	case a != nil && !(a.EtaM > 0 && a.EtaM <= 1 && a.EtaSigma > 0 && a.EtaSigma <= 1):
		return refuse("rate", fmt.Sprintf("eta_m %v, eta_sigma %v", a.EtaM, a.EtaSigma))
	}
	if s.Scouts != nil && asked > 0 {
		return refuse("scouts", fmt.Sprintf("beside %d samples", asked))
	}
	for i, d := range s.D {
		if !(d > 0) {
			return refuse("d", fmt.Sprintf("value %d is %v", i, d))
		}
	}
	switch {
	case !(s.Sigma > 0):
		return refuse("sigma", s.Sigma)
	case !(s.Sigma0 > 0):
		return refuse("sigma0", s.Sigma0)
	case len(s.Loss) > asked:
		return refuse("loss", fmt.Sprintf("%d told, %d asked", len(s.Loss), asked))
	case len(s.HistBest) != len(s.HistMedian):
		return refuse("hist_median", len(s.HistMedian))
	case s.Regime < int(firstRun) || s.Regime > int(smallRun):
		return refuse("regime", s.Regime)
	case s.Large < 2 || s.Large > maxLambda:
		return refuse("large", s.Large)
	case s.Growths < 0 || s.Growths > maxGrowths:
		return refuse("growths", s.Growths)
	}
	for _, f := range []struct {
		name string
		v    int
	}{{"gen", s.Gen}, {"evals", s.Evals}, {"blind", s.Blind}, {"restarts", s.Restarts},
		{"spent_large", s.SpentLarge}, {"spent_small", s.SpentSmall}} {
		if f.v < 0 || f.v > math.MaxInt32*1024 {
			return refuse(f.name, f.v)
		}
	}
	return nil
}

func (o *Optimizer) setState(s *state) error {
	n := o.cfg.Dim
	if err := s.check(n, o.cfg.Form, o.run.rate != nil); err != nil {
		return err
	}
	switch a := o.run.again; {
	case (a == nil) != (s.Again == nil):
		return fmt.Errorf("%w: reevaluate: in one of the two alone", engine.ErrSnapshot)
	case a != nil:
		if err := s.Again.check(s, a.most); err != nil {
			return err
		}
	}
	if s.Scouts != nil {
		if err := s.Scouts.check(n, o.scouts.size); err != nil {
			return err
		}
	}
	if err := o.pcg.UnmarshalBinary(s.RNG); err != nil {
		return fmt.Errorf("%w: rng: %w", engine.ErrSnapshot, err)
	}
	r := &o.run
	r.start(n, s.Lambda, o.cfg.Form, s.Mean, s.Sigma)
	r.sigma0, r.gen, r.eigenGen = s.Sigma0, s.Gen, s.EigGen
	copy(r.ps, s.PS)
	copy(r.pc, s.PC)
	if a := r.rate; a != nil {
		a.etaM, a.etaSigma, a.vM, a.vSigma = s.Rate.EtaM, s.Rate.EtaSigma, s.Rate.VM, s.Rate.VSigma
		copy(a.eM, s.Rate.EM)
		copy(a.eSigma, s.Rate.ESigma)
	}
	switch c := r.shape.(type) {
	case *full:
		copy(c.c, s.C)
		copy(c.d, s.D)
		copy(c.bt, s.BT)
		c.scaleAxes()
	case *diagonal:
		copy(c.c, s.C)
		copy(c.d, s.D)
	}
	copy(r.x, s.X)
	copy(r.y, s.Y)
	copy(r.norm2, s.Norm2)
	for i, l := range s.Loss {
		r.loss[i] = float64(l)
	}
	for i := range s.HistBest {
		r.hist.add(float64(s.HistBest[i]), float64(s.HistMedian[i]))
	}
	r.hist.blind = s.Blind
	o.plan = plan{lambda0: o.cfg.Lambda, restarts: s.Restarts, large: s.Large, growths: s.Growths,
		spentLarge: s.SpentLarge, spentSmall: s.SpentSmall, regime: regime(s.Regime)}
	o.asked, o.told, o.evals = len(s.Norm2), len(s.Loss), s.Evals
	o.setScouts(s.Scouts)
	o.setAgain(s.Again)
	copy(o.best, s.Best)
	o.bestLoss, o.stop = float64(s.BestLoss), s.Stop
	return nil
}
