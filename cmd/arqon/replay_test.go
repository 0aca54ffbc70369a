package main

import (
	"os"
	"path/filepath"
)

// The fixture "events" is an event log that the runtime's tests keep.
func init() {
	fixtures["events"] = func(dir string) error {
		b, err := os.ReadFile(filepath.Join("..", "..", "runtime", "testdata", "events.log"))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "events.log"), b, 0o644)
	}
}
