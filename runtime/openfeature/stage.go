package openfeature

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// ErrNotAValue is why an artifact cannot be a flag's value.
var ErrNotAValue = errors.New("not a flag's value")

// valueBytesMax bounds one value.
const valueBytesMax = 64 << 10

// Stage is a runtime.StageFunc for releases whose variants are flag values: the
// variant's one artifact is a JSON value, its name is the variant's.
func Stage(ctx context.Context, e catalog.Entry, blobs artifacts.Getter) (any, error) {
	if len(e.Variant.Artifacts) != 1 {
		return nil, fmt.Errorf("%d artifacts, want one JSON value: %w", len(e.Variant.Artifacts), ErrNotAValue)
	}
	b, err := blobs.Get(ctx, e.Variant.Artifacts[0])
	if err != nil {
		return nil, err
	}
	v, err := decodeValue(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Variant.Artifacts[0].Name, err)
	}
	return Variant{Name: e.Variant.Name, Value: v}, nil
}

// decodeValue reads one JSON value. Numbers without fraction and exponent are
// int64, others float64.
func decodeValue(b []byte) (any, error) {
	if len(b) > valueBytesMax {
		return nil, fmt.Errorf("%d bytes, at most %d: %w", len(b), valueBytesMax, ErrNotAValue)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAValue, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more than one JSON value: %w", ErrNotAValue)
	}
	if v == nil {
		return nil, fmt.Errorf("null: %w", ErrNotAValue)
	}
	return numbers(v)
}

// numbers replaces json.Number throughout a value.
func numbers(v any) (any, error) {
	var err error
	switch x := v.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n, nil
		}
		f, err := x.Float64()
		if err != nil {
			return nil, fmt.Errorf("number %s: %w", x, ErrNotAValue)
		}
		return f, nil
	case map[string]any:
		for k, e := range x {
			if x[k], err = numbers(e); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, e := range x {
			if x[i], err = numbers(e); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}
