package infer

import (
	"bytes"
	"flag"
	"os"
	goruntime "runtime"
	"testing"
)

var update = flag.Bool("update", false, "write builtin.arqm anew")

// TestBuiltInIsCurrent trains the fallback again: the embedded file is what
// the committed code makes from the data, byte for byte.
func TestBuiltInIsCurrent(t *testing.T) {
	b, err := MakeBuiltIn(t.Context(), testData(t))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("builtin.arqm", b, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if goruntime.GOARCH != "amd64" {
		t.Skip("builtin.arqm was made on amd64; equal bytes are promised on one architecture")
	}
	if !bytes.Equal(b, builtInFile) {
		t.Fatal("builtin.arqm is not what the code makes: go generate ./benchmarks/infer")
	}
}

func TestBuiltInClassifies(t *testing.T) {
	m, test := BuiltIn(), &testData(t).Test
	var w Workspace
	right := 0
	for i := range test.Images {
		if m.Predict(&test.Images[i], &w).Class == int(test.Labels[i]) {
			right++
		}
	}
	t.Logf("built-in fallback: accuracy %.4f, %d bytes, %d MACs", float64(right)/10000, m.Bytes(), m.FullMACs())
	if right < 7000 {
		t.Errorf("%d of 10,000 right, want at least 7,000", right)
	}
}
