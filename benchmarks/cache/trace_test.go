package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/arqon/arqon/benchmarks"
)

// written is a trace in a format, as its documentation says: the generator of
// the files that these tests read.
func written(f Format, uses []Use) []byte {
	var b []byte
	for i, u := range uses {
		switch f {
		case FormatKeys:
			b = fmt.Appendln(b, u.Key)
		case FormatU32: // what fits
			b = binary.LittleEndian.AppendUint32(b, uint32(u.Key))
		case FormatARC: // "first-block blocks ignored request"
			b = fmt.Appendln(b, u.Key, 1, 0, i)
		case FormatOracle: // time, object, size, next use
			b = binary.LittleEndian.AppendUint32(b, uint32(i))
			b = binary.LittleEndian.AppendUint64(b, u.Key)
			b = binary.LittleEndian.AppendUint32(b, u.Size)
			b = binary.LittleEndian.AppendUint64(b, 1<<64-1)
		}
	}
	return b
}

// TestEveryFormatIsTheSameTraffic writes one trace in every format, and
// measures LRU on each file as a study does.
func TestEveryFormatIsTheSameTraffic(t *testing.T) {
	uses := mixtures[1].generate(1, 10_000)
	for i := range uses {
		uses[i].Key %= 1 << 31 // fits all formats
	}
	dir := t.TempDir()
	ratios := map[Format]float64{}
	for _, f := range Formats() {
		path := filepath.Join(dir, string(f))
		if err := os.WriteFile(path, written(f, uses), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadTraceFile(path, f)
		if err != nil {
			t.Fatal(err)
		}
		for i, u := range got {
			if u.Key != uses[i].Key || f == FormatOracle && u.Size != uses[i].Size {
				t.Fatalf("%s: use %d is %v, %v was written", f, i, u, uses[i])
			}
		}
		d, err := New(Options{Traces: []TraceFile{{Name: "mine", Path: path, Format: f, Entries: []int{256}}}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := d.Build(t.Context(), Baseline(), 1)
		if err != nil {
			t.Fatal(err)
		}
		in, err := d.Open(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		s, err := in.Measure(t.Context(), benchmarks.Request{Scenario: "trace-mine-256", Repeats: 1, Fidelity: 1, OnlyDeterministic: true})
		if err != nil {
			t.Fatal(err)
		}
		ratios[f] = s[0].Values[MetricHitRatio]
	}
	for _, f := range Formats() {
		if r := ratios[f]; r != ratios[FormatKeys] || r < .1 {
			t.Errorf("%s: hit ratio %v, of keys %v", f, r, ratios[FormatKeys])
		}
	}
}

// TestAFileOfRecordsIsRefusedBeforeItIsRead: a billion keys are no wait.
func TestAFileOfRecordsIsRefusedBeforeItIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "billion")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		format Format
		size   int64
		want   string
	}{
		{FormatU32, 4e9, "1000000000 records are more than 16777216 uses"},
		{FormatU32, 4e9 + 1, "ends inside record 1000000000"},
		{FormatOracle, 24e9, "1000000000 records"},
		{FormatOracle, 0, "no use"},
	} {
		if err := os.Truncate(path, c.size); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadTraceFile(path, c.format); !errors.Is(err, ErrTrace) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
	if _, err := ReadTraceFile(filepath.Dir(path), FormatKeys); !errors.Is(err, ErrTrace) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := ReadTraceFile(path+".none", FormatKeys); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestTraceFiles(t *testing.T) {
	u32 := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 7), 9)
	oracle := make([]byte, 2*oracleBytes)
	binary.LittleEndian.PutUint64(oracle[4:], 5)
	binary.LittleEndian.PutUint32(oracle[12:], 300)
	for _, tc := range []struct {
		format Format
		in     string
		want   []Use
	}{
		{FormatKeys, "3\n\n 4 \n3", []Use{{3, unitBytes}, {4, unitBytes}, {3, unitBytes}}},
		{FormatU32, string(u32), []Use{{7, unitBytes}, {9, unitBytes}}},
		{FormatARC, "10 2 0 1\n7 1 0 2\n", []Use{{10, blockBytes}, {11, blockBytes}, {7, blockBytes}}},
		{FormatOracle, string(oracle), []Use{{5, 300}, {0, 0}}},
	} {
		got, err := ReadTrace(strings.NewReader(tc.in), tc.format)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, %v", tc.format, got, err)
		}
	}
	for want, in := range map[string]string{"compressed (gzip)": "\x1f\x8b\x08\x00\x00", "it is text": strings.Repeat("12345\n", 9) + "1"} {
		path := filepath.Join(t.TempDir(), "odd.bin")
		if err := os.WriteFile(path, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadTraceFile(path, FormatU32); !errors.Is(err, ErrTrace) || !strings.Contains(err.Error(), want) {
			t.Errorf("of a length that does not fit: want %q, got %v", want, err)
		}
	}
	for want, tc := range map[string]struct {
		format Format
		in     string
	}{
		"ends inside record 1 of 4":   {FormatU32, string(u32[:6])},
		"ends inside record 1 of 24":  {FormatOracle, string(oracle[:30])},
		"line 2: 3 columns":           {FormatARC, "1 1 0 1\n1 1 0"},
		"not a number of blocks":      {FormatARC, "1 0 0 1"},
		"are more than 16777216 uses": {FormatARC, "1 1000000000 0 1"},
		"no use":                      {FormatKeys, "\n"},
		"longer than":                 {FormatKeys, strings.Repeat("x", 5000)},
		"format":                      {"pcap", ""},
		"line 2: \"4 5\" is no key":   {FormatKeys, "3\n4 5\n"},
		"it is not text":              {FormatARC, "1 1 0 1\n\x00"},
		"it is text":                  {FormatU32, strings.Repeat("12345678\n\n\n\n", 9)},
		"compressed (gzip)":           {FormatOracle, "\x1f\x8b\x08\x00"},
		"compressed (zstd)":           {FormatKeys, "\x28\xb5\x2f\xfd"},
		"the next use is -2":          {FormatOracle, strings.Repeat("\x01", 16) + "\xfe" + strings.Repeat("\xff", 7)},
	} {
		if _, err := ReadTrace(strings.NewReader(tc.in), tc.format); !errors.Is(err, ErrTrace) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := readTrace(bytes.NewReader(u32), FormatU32, 1); err == nil || !strings.Contains(err.Error(), "more than 1 uses") {
		t.Error(err)
	}
}
