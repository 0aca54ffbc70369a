package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
)

type badCode func(compiled map[string]any, files *[]benchmarks.File, needs *[]string)

// badCodes are what somebody with the keys of a repository may make of a kernel
// that carries precompiled code: a change of what kernel.json says of it, of its
// files, and of its envelope. What the header says of the files is mended
// afterwards.
var badCodes = map[string]badCode{
	// one bit of the machine code
	"flip": func(_ map[string]any, files *[]benchmarks.File, _ *[]string) {
		b := (*files)[4].Bytes
		b[len(b)/2] ^= 1
	},
	// another wazero, in header and file
	"version": func(compiled map[string]any, files *[]benchmarks.File, _ *[]string) {
		is := compiled["wazero"].(string)
		other := strings.Repeat("x", len(is))
		compiled["wazero"] = other
		for i := range *files {
			f := &(*files)[i]
			f.Bytes = bytes.Replace(f.Bytes, []byte("WAZEVO"+string(rune(len(is)))+is), []byte("WAZEVO"+string(rune(len(is)))+other), 1)
		}
	},
	// another processor
	"cpu": func(compiled map[string]any, _ *[]benchmarks.File, _ *[]string) { compiled["cpu"] = []string{"amx"} },
	// another processor, and the envelope is honest
	"foreign": func(compiled map[string]any, _ *[]benchmarks.File, needs *[]string) {
		compiled["cpu"] = []string{"amx"}
		(*needs)[1] = "precompiled-amd64-amx"
	},
	// a file less
	"missing": func(_ map[string]any, files *[]benchmarks.File, _ *[]string) { *files = slices.Delete(*files, 5, 6) },
}

// tampered is not among badCodes: one bit of a file in the store, and nobody
// signs for it.
const tampered = "unsigned"

// cmdBadCode publishes a release like the newest one, but for the code that its
// kernels carry.
func cmdBadCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || (badCodes[args[1]] == nil && args[1] != tampered) {
		ts.Fatalf("usage: badcode REPOSITORY HOW [silent]")
	}
	ctx := context.Background()
	at, err := newPlace(ts.MkAbs(args[0]), "")
	ts.Check(err)
	store, err := at.open()
	ts.Check(err)
	ring, err := at.ring(func() ([]byte, error) { return nil, nil })
	ts.Check(err)
	client, err := at.client(store, "", reader{clock: now})
	ts.Check(err)
	rel, err := client.Refresh(ctx, "staging")
	ts.Check(err)
	old := rel.Release()
	blobs, mem := artifacts.Blobs{Store: store}, artifacts.NewMem()
	p := publish.Proposal{Channel: old.Channel, Domain: old.Domain, Contexts: old.Contexts, Policy: old.Policy, Blobs: mem}
	changed := 0
	for _, e := range old.Entries {
		for _, ref := range e.Variant.Artifacts {
			b, err := blobs.Get(ctx, ref)
			ts.Check(err)
			_, err = mem.Put(ctx, b)
			ts.Check(err)
		}
		wasBaseline := e.ID == old.Baseline
		if len(e.Variant.Artifacts) == 7 { // kernel.json, three modules, the code of each
			changed++
			if args[1] == tampered {
				ts.Check(flipByte(filepath.Join(ts.MkAbs(args[0]), artifacts.BlobName(e.Variant.Artifacts[4].Digest)), 1000, 1))
				continue
			}
			ts.Check(spoil(ctx, &e, mem, badCodes[args[1]]))
			if len(args) > 2 {
				e.Golden = nil
			}
		}
		if wasBaseline {
			p.Baseline = e.Variant.Identity
		}
		e.Evidence = nil
		p.Entries = append(p.Entries, e)
		p.Evidence = append(p.Evidence, publish.Evidence{Identity: e.Variant.Identity, Gate: "report", Predicate: json.RawMessage(`{"outcome":"PASS"}`)})
	}
	if changed == 0 {
		ts.Fatalf("no kernel of %s carries code", args[0])
	}
	if args[1] == tampered {
		ts.Check(errors.Join(client.Close(), store.Close()))
		return
	}
	repo := publish.Repository{Store: store, Keys: ring, Now: now()}
	_, err = repo.Release(ctx, p)
	ts.Check(errors.Join(err, client.Close(), store.Close()))
}

// spoil makes another variant of an entry, honest about what its files are.
func spoil(ctx context.Context, e *catalog.Entry, blobs *artifacts.Mem, change badCode) error {
	files, err := filesFrom(ctx, e.Variant.Artifacts, blobs)
	if err != nil {
		return err
	}
	var header map[string]json.RawMessage
	var compiled map[string]any
	if err := json.Unmarshal(files[0].Bytes, &header); err != nil {
		return err
	}
	if err := json.Unmarshal(header["compiled"], &compiled); err != nil {
		return err
	}
	for i := range files {
		files[i].Bytes = bytes.Clone(files[i].Bytes)
	}
	needs := slices.Clone(e.Envelope.Hardware.CPUFeatures)
	change(compiled, &files, &needs)
	said := compiled["files"].([]any)
	for i := 4; i < len(files); i++ {
		said[i-4] = map[string]any{"digest": artifacts.DigestOf(files[i].Bytes), "bytes": len(files[i].Bytes)}
	}
	if header["compiled"], err = json.Marshal(compiled); err != nil {
		return err
	}
	if files[0].Bytes, err = json.Marshal(header); err != nil {
		return err
	}
	e.Variant.Artifacts = nil
	for _, f := range files {
		if _, err := blobs.Put(ctx, f.Bytes); err != nil {
			return err
		}
		e.Variant.Artifacts = append(e.Variant.Artifacts, artifacts.RefOf(f.Name, f.MediaType, f.Bytes))
	}
	e.Variant.Identity, e.Envelope.Hardware.CPUFeatures = catalog.IdentityOf(e.Variant), needs
	return nil
}
