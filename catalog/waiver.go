package catalog

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/arqon/arqon/artifacts"
)

// MaxWaiverDays is the longest that any waiver may hold.
const MaxWaiverDays = 366

// Waiver is an exception that approvers sign before a night is judged under
// it: until it expires, one guardrail metric of one context may be worse by
// Tolerance instead of what the study declares, or may reach Limit. Nothing
// else can be waived: it has no word for a gate, a control, a missing sample
// or a signature.
type Waiver struct {
	Study     string    `json:"study"`
	Context   string    `json:"context"`
	Metric    string    `json:"metric"`
	Tolerance *float64  `json:"tolerance,omitempty"` // on the metric's compare scale, above the declared one
	Limit     *float64  `json:"limit,omitempty"`     // absolute, in the metric's unit
	Reason    string    `json:"reason"`
	Created   time.Time `json:"created"` // UTC, whole seconds
	Expires   time.Time `json:"expires"`
}

// Waived is a waiver that an entry was judged under. It stays with the entry
// for life; File is what the approvers signed.
type Waived struct {
	Waiver Waiver        `json:"waiver"`
	File   artifacts.Ref `json:"file"`
}

// EncodeWaiver returns the bytes that are signed. The error names the field.
func EncodeWaiver(w Waiver) ([]byte, error) {
	w.Created, w.Expires = w.Created.UTC().Truncate(time.Second), w.Expires.UTC().Truncate(time.Second)
	if err := checkWaiver(&w); err != nil {
		return nil, within("waiver", err)
	}
	return json.Marshal(w)
}

// DecodeWaiver accepts exactly what EncodeWaiver writes.
func DecodeWaiver(b []byte) (Waiver, error) {
	var w Waiver
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return Waiver{}, refuse("waiver", "%v", err)
	}
	again, err := EncodeWaiver(w)
	if err != nil {
		return Waiver{}, err
	}
	if !bytes.Equal(b, again) {
		return Waiver{}, notCanonical("waiver", b, again)
	}
	return w, nil
}

func checkWaiver(w *Waiver) error {
	for _, n := range []struct{ field, value string }{{"study", w.Study}, {"context", w.Context}, {"metric", w.Metric}} {
		if err := checkName(n.value); err != nil {
			return within(n.field, err)
		}
	}
	if (w.Tolerance == nil) == (w.Limit == nil) {
		return refuse("", "want a tolerance or a limit, one of the two")
	}
	if w.Tolerance != nil && (!finite(*w.Tolerance) || *w.Tolerance <= 0) {
		return refuse("tolerance", "%v: want above 0 and finite", *w.Tolerance)
	}
	if w.Limit != nil && !finite(*w.Limit) {
		return refuse("limit", "%v: want a finite number", *w.Limit)
	}
	if err := checkText(w.Reason); err != nil {
		return within("reason", err)
	}
	if w.Reason == "" {
		return refuse("reason", "is empty: say why, it stays with the entry for life")
	}
	if err := checkTime(w.Created); err != nil {
		return within("created", err)
	}
	if err := checkTime(w.Expires); err != nil {
		return within("expires", err)
	}
	if !w.Expires.After(w.Created) || w.Expires.After(w.Created.AddDate(0, 0, MaxWaiverDays)) {
		return refuse("expires", "%s: want after created %s and within %d days", w.Expires.Format(time.RFC3339), w.Created.Format(time.RFC3339), MaxWaiverDays)
	}
	return nil
}

// checkWaived refuses waivers that are not about what the entry serves.
func checkWaived(e *Entry) error {
	if len(e.Waivers) > maxList {
		return refuse("", "%d, at most %d", len(e.Waivers), maxList)
	}
	for i := range e.Waivers {
		w := &e.Waivers[i]
		if err := checkWaiver(&w.Waiver); err != nil {
			return nth("", i, within("waiver", err))
		}
		if !e.Serves(w.Waiver.Context) {
			return nth("", i, refuse("waiver.context", "%q: the entry does not serve it", w.Waiver.Context))
		}
		if err := checkRef(&w.File); err != nil {
			return nth("", i, within("file", err))
		}
	}
	return nil
}
