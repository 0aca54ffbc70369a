package report

import (
	"os"
	"testing"
)

func TestShot(t *testing.T) {
	n := night(t)
	f, _ := os.Create("/tmp/night.html")
	if err := HTML(f, n); err != nil {
		t.Fatal(err)
	}
	f.Close()
	f, _ = os.Create("/tmp/invalid.html")
	if err := HTML(f, invalidated(n)); err != nil {
		t.Fatal(err)
	}
	f.Close()
}
