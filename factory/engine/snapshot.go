package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// MaxSnapshotBytes limits what Unseal reads.
const MaxSnapshotBytes = 256 << 20

// ErrSnapshot is wrapped by every refusal of a snapshot; the message names the
// field.
var ErrSnapshot = errors.New("snapshot refused")

// envelope is the wire form of a snapshot:
//
//	{"engine":"cma","version":1,"config":"…","sha256":"…","state":{…}}
//
// sha256 covers the engine's name, the version, config and the bytes of state.
type envelope struct {
	Engine  string          `json:"engine"`
	Version int             `json:"version"`
	Config  string          `json:"config"`
	SHA256  string          `json:"sha256"`
	State   json.RawMessage `json:"state"`
}

func (e envelope) sum() string {
	h := sha256.New()
	for _, s := range []string{e.Engine, strconv.Itoa(e.Version), e.Config, string(e.State)} {
		h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Seal writes a snapshot of state, which must marshal to JSON. The fingerprint
// says which configuration the state belongs to (see [Config.Fingerprint]).
func Seal(engine string, version int, fingerprint string, state any) ([]byte, error) {
	raw, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", engine, err)
	}
	e := envelope{Engine: engine, Version: version, Config: fingerprint, State: raw}
	e.SHA256 = e.sum()
	return json.Marshal(e)
}

// Unseal reads a snapshot that [Seal] wrote into state, strictly: another
// engine, version or configuration, an unknown key, a byte too many or a
// flipped bit is an error wrapping [ErrSnapshot] that names the field.
func Unseal(engine string, version int, fingerprint string, b []byte, state any) error {
	if len(b) > MaxSnapshotBytes {
		return fmt.Errorf("%w: %d bytes, at most %d are read", ErrSnapshot, len(b), MaxSnapshotBytes)
	}
	var e envelope
	if err := decodeStrict(b, &e); err != nil {
		return fmt.Errorf("%w: envelope: %w", ErrSnapshot, err)
	}
	switch {
	case e.Engine != engine:
		return fmt.Errorf("%w: engine is %.40q, want %q", ErrSnapshot, e.Engine, engine)
	case e.Version != version:
		return fmt.Errorf("%w: version is %d, this program reads %d", ErrSnapshot, e.Version, version)
	case e.SHA256 != e.sum():
		return fmt.Errorf("%w: sha256 does not match: the snapshot was changed after it was written", ErrSnapshot)
	case e.Config != fingerprint:
		return fmt.Errorf("%w: config %.12s… is not this engine's %.12s…: the space, seed, budget or start points differ", ErrSnapshot, e.Config, fingerprint)
	}
	// The checksum covers contents; this catches the rest (spaces, key case,
	// repeated keys), so that one state has one spelling.
	again, err := json.Marshal(e)
	if err != nil || !bytes.Equal(again, b) {
		return fmt.Errorf("%w: envelope is not in canonical form", ErrSnapshot)
	}
	return DecodeState(e.State, state)
}

// DecodeState reads a part of a snapshot strictly: an unknown key, a wrong type
// or a byte too many is an error wrapping [ErrSnapshot].
func DecodeState(b []byte, state any) error {
	if err := decodeStrict(b, state); err != nil {
		return fmt.Errorf("%w: state: %w", ErrSnapshot, err)
	}
	return nil
}

func decodeStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes after the end")
	}
	return nil
}

// Fingerprint names the configuration: a snapshot of one configuration is
// refused by an engine made from another.
func (c Config) Fingerprint() string {
	b, err := json.Marshal(c)
	if err != nil {
		// A space holds only numbers, strings and booleans; what does not
		// marshal (an infinite bound) was refused when the engine was made.
		b = fmt.Appendf(nil, "%v", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Loss is a float64 that also survives JSON when it is infinite or NaN.
type Loss float64

// MarshalJSON writes a number, or "inf", "-inf", "nan".
func (l Loss) MarshalJSON() ([]byte, error) {
	switch f := float64(l); {
	case math.IsInf(f, 1):
		return []byte(`"inf"`), nil
	case math.IsInf(f, -1):
		return []byte(`"-inf"`), nil
	case math.IsNaN(f):
		return []byte(`"nan"`), nil
	default:
		return json.Marshal(f)
	}
}

// UnmarshalJSON reads what MarshalJSON writes.
func (l *Loss) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `"inf"`:
		*l = Loss(math.Inf(1))
	case `"-inf"`:
		*l = Loss(math.Inf(-1))
	case `"nan"`:
		*l = Loss(math.NaN())
	default:
		var f float64
		if err := json.Unmarshal(b, &f); err != nil {
			return err
		}
		*l = Loss(f)
	}
	return nil
}

// Worst returns a loss that can be ranked: NaN and −Inf, which no measurement
// means, become +Inf.
func Worst(loss float64) float64 {
	if math.IsNaN(loss) || math.IsInf(loss, -1) {
		return math.Inf(1)
	}
	return loss
}
