package infer

// Model is a classifier ready to run. It is immutable: any number of
// goroutines may predict with it, each with a Workspace of its own.
type Model struct {
	stages     []stage
	quantized  bool
	thresholds Thresholds
	bytes      int
}

// stage is one look at the image.
type stage struct {
	width      int
	step       float32 // quantized: what one unit of a hidden integer stands for
	view, prev matrix
	bias       []float32
	head       matrix
	headBias   []float32
	hiddenMACs int
	headMACs   int
}

// Thresholds are the confidences, in (0, 1], from which exits 0 and 1 answer;
// 1 or more is never. The last stage always answers.
type Thresholds [maxStages - 1]float32

// Prediction is one answer.
type Prediction struct {
	Class      int     // 0 to 9
	Exit       int     // the stage that answered, from 0
	Confidence float32 // probability of Class, as the exit sees it
	MACs       int     // multiply-accumulates executed
}

// Workspace is the scratch memory of one goroutine, about 30 KB; the zero
// value is ready.
type Workspace struct {
	view      [maxCols]float32
	viewInt   [maxCols]uint64
	hidden    [maxCols]float32
	input     [maxCols]float32 // h of the stage before
	inputInt  [maxCols]uint64  // the same in steps of that stage
	logits, p [classes]float32
}

// Bytes is the size of the file the model was opened from.
func (m *Model) Bytes() int { return m.bytes }

// Stages is the number of looks the model can take, 1 to 3.
func (m *Model) Stages() int { return len(m.stages) }

// Thresholds returns the thresholds the model was built with.
func (m *Model) Thresholds() Thresholds { return m.thresholds }

// FullMACs is the cost of a prediction that visits every stage and asks every
// exit.
func (m *Model) FullMACs() int {
	n := 0
	for i := range m.stages {
		n += m.stages[i].hiddenMACs + m.stages[i].headMACs
	}
	return n
}

func (m *Model) countMACs() {
	for i := range m.stages {
		s := &m.stages[i]
		s.hiddenMACs = s.view.macs()
		if i > 0 {
			s.hiddenMACs += s.prev.macs()
		}
		s.headMACs = s.head.macs()
	}
}

// Predict classifies the image. It does not allocate.
func (m *Model) Predict(image *[pixels]byte, w *Workspace) Prediction {
	return m.PredictAt(image, w, m.thresholds)
}

// PredictAt is Predict with other exit thresholds: the knob that a host may
// move online.
func (m *Model) PredictAt(image *[pixels]byte, w *Workspace, t Thresholds) Prediction {
	var out Prediction
	last := len(m.stages) - 1
	for i := range m.stages {
		s := &m.stages[i]
		if m.quantized {
			s.hiddenQuantized(i, image, w)
		} else {
			s.hiddenFloat(i, image, w)
		}
		out.MACs += s.hiddenMACs
		if i < last && t[i] >= neverExit {
			continue // nobody asks this exit
		}
		copy(w.logits[:], s.headBias)
		if m.quantized {
			s.head.addQuantized(&w.inputInt, w.logits[:])
		} else {
			s.head.addFloat(&w.input, w.logits[:])
		}
		out.MACs += s.headMACs
		out.Exit = i
		out.Class, out.Confidence = softmax(&w.logits, &w.p)
		if i < last && out.Confidence >= t[i] {
			break
		}
	}
	return out
}

// Probabilities returns what the exit that answered last saw: ten numbers that
// sum to 1.
func (w *Workspace) Probabilities() [classes]float32 { return w.p }

// hiddenFloat computes h(i) into w.input.
func (s *stage) hiddenFloat(i int, image *[pixels]byte, w *Workspace) {
	view(image, i, w.view[:])
	h := w.hidden[:s.width]
	copy(h, s.bias)
	s.view.addFloat(&w.view, h)
	if i > 0 {
		s.prev.addFloat(&w.input, h)
	}
	for k, x := range h {
		w.input[k] = max(0, x)
	}
}

// hiddenQuantized computes h(i) in steps into w.inputInt.
func (s *stage) hiddenQuantized(i int, image *[pixels]byte, w *Workspace) {
	viewInt(image, i, &w.viewInt)
	h := w.hidden[:s.width]
	copy(h, s.bias)
	s.view.addQuantized(&w.viewInt, h)
	if i > 0 {
		s.prev.addQuantized(&w.inputInt, h)
	}
	perStep := 1 / s.step
	for k, x := range h {
		w.inputInt[k] = quantizeHidden(x, perStep)
	}
}

// quantizeHidden is the ReLU in integers: 0 to 255 steps, half a step up.
func quantizeHidden(x, perStep float32) uint64 {
	return uint64(byte(int32(min(255, max(0, float32(x*perStep)+0.5)))))
}

// viewInt writes the block means of the image in 1/255, rounded half up.
func viewInt(image *[pixels]byte, stage int, out *[maxCols]uint64) {
	s := sides[stage]
	block := side / s
	if block == 1 {
		for i, p := range image {
			out[i] = uint64(p)
		}
		return
	}
	area := int32(block * block)
	for y := range s {
		for x := range s {
			out[y*s+x] = uint64((blockSum(image, y*block, x*block, block) + area/2) / area)
		}
	}
}
