package s3_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/s3"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
)

// Publishers are processes of this test binary that publish until SIGKILL ends
// them. What one of them reported as published must be there for ever.

const (
	publisherVariable = "ARQON_TEST_PUBLISHER" // the channel; makes a process of this binary a publisher
	placeVariable     = "ARQON_TEST_PLACE"     // a directory, or s3://bucket/prefix
	keysVariable      = "ARQON_TEST_KEYS"
)

var night = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

func noPassphrase(string) ([]byte, error) { return []byte{}, nil }

type closable interface {
	artifacts.Store
	io.Closer
}

func openPlace(place string) (closable, error) {
	if strings.HasPrefix(place, s3.Scheme) {
		return s3.OpenURL(place, s3.Options{Backoff: 5 * time.Millisecond})
	}
	return artifacts.OpenDir(place)
}

// publisherMain publishes one release after the other and prints each.
func publisherMain() int {
	err := publishForEver(os.Getenv(publisherVariable), os.Getenv(placeVariable), os.Getenv(keysVariable))
	fmt.Println("error", strings.ReplaceAll(err.Error(), "\n", "; "))
	return 1
}

func publishForEver(channel, place, keys string) error {
	store, err := openPlace(place)
	if err != nil {
		return err
	}
	ring, err := publish.OpenKeys(keys, noPassphrase)
	if err != nil {
		return err
	}
	if ring.Root, err = os.ReadFile(filepath.Join(keys, "root.json")); err != nil {
		return err
	}
	repo := publish.Repository{Store: store, Keys: ring, Now: night}
	for {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return err
		}
		// One of 200 variants, so that the history of ids stays short while
		// thousands of releases bring them, drop them and bring them back.
		p, err := proposal(channel, 1, 2+binary.LittleEndian.Uint64(b[:])%200)
		if err != nil {
			return err
		}
		done, err := repo.Release(context.Background(), p)
		switch {
		case errors.Is(err, artifacts.ErrConflict), errors.Is(err, publish.ErrStale):
			fmt.Println("lost") // every race for a while: allowed, and tried again
		case err != nil:
			return err
		default:
			fmt.Println("published", done.Release.Sequence, done.Manifest)
		}
	}
}

// proposal wishes for the numbered variants; equal numbers are equal variants.
func proposal(channel string, numbers ...uint64) (publish.Proposal, error) {
	blobs := artifacts.NewMem()
	p := publish.Proposal{Channel: channel, Domain: "infer", Contexts: []string{"burst"}, Blobs: blobs}
	for _, n := range numbers {
		data := fmt.Appendf(nil, "weights %d", n)
		if _, err := blobs.Put(context.Background(), data); err != nil {
			return p, err
		}
		v := catalog.Variant{
			Name: fmt.Sprintf("burst-%d", n), Domain: "infer", Type: "early-exit",
			Point:     json.RawMessage(fmt.Sprintf(`{"exit":%d}`, n)),
			Artifacts: []artifacts.Ref{artifacts.RefOf("net.bin", "application/octet-stream", data)},
		}
		v.Identity = catalog.IdentityOf(v)
		p.Entries = append(p.Entries, catalog.Entry{Variant: v, Scope: catalog.Scope(channel), Envelope: catalog.Envelope{Contexts: []string{"burst"}}})
		p.Evidence = append(p.Evidence, publish.Evidence{Identity: v.Identity, Gate: "report", Predicate: json.RawMessage(`{"kept":true}`)})
	}
	p.Baseline = p.Entries[0].Variant.Identity
	return p, nil
}

// nowhere is how long a publisher may say nothing.
const nowhere = 10 * time.Minute

// publishesMax is how often a publisher is heard before it is killed.
const publishesMax = 12

// killsVariable asks for as many kills on each store; each costs about a second
// of one core, mostly for decrypting key files.
const killsVariable = "ARQON_KILLS"

// killsForVariable ends the killing on each store after a time, as 30m, however
// many kills are left.
const killsForVariable = "ARQON_KILLS_FOR"

// killsFor is how long publishers are killed on each store; 0: to the last.
func killsFor(t *testing.T) time.Duration {
	v := os.Getenv(killsForVariable)
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		t.Fatalf("%s=%q is no time", killsForVariable, v)
	}
	return d
}

// kills is how often publishers are killed on each store.
func kills(t *testing.T) int {
	v := os.Getenv(killsVariable)
	if v == "" {
		return 2
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number of kills", killsVariable, v)
	}
	return n
}

func TestKilledPublishers(t *testing.T) {
	if testing.Short() {
		t.Skip("other processes: the race detector sees nothing of them")
	}
	t.Run("dir", func(t *testing.T) {
		if os.Getenv(killsVariable) == "" {
			t.Skip("a few kills on one store are enough for every day; make integration does the rest")
		}
		newMassacre(t, filepath.Join(t.TempDir(), "repository")).run(kills(t))
	})
	t.Run("fake", func(t *testing.T) {
		newMassacre(t, fresh(t), "ARQON_S3_ENDPOINT="+fake(t, nil).URL,
			"AWS_ACCESS_KEY_ID=test-access", "AWS_SECRET_ACCESS_KEY=test-secret-key").run(kills(t))
	})
	t.Run("gateway", func(t *testing.T) {
		newMassacre(t, fresh(t), "ARQON_S3_ENDPOINT="+gateway(t),
			"AWS_ACCESS_KEY_ID="+gatewayUser, "AWS_SECRET_ACCESS_KEY="+gatewaySecret).run(kills(t))
	})
}

// massacre is one store under publishers that die.
type massacre struct {
	t     *testing.T
	place string
	keys  string
	store artifacts.Store
	made  *publish.Created
	rnd   *mathrand.Rand

	mu        sync.Mutex
	published map[string]map[uint64]artifacts.Digest // channel → sequence → manifest, as reported
	reports   int
	lost      int
	longest   time.Duration // between two reports of a publisher that is to be killed
	slowest   time.Duration // between two reports of any, turns included
}

func newMassacre(t *testing.T, place string, environment ...string) *massacre {
	t.Helper()
	t.Setenv(placeVariable, place)
	for _, kv := range environment {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	m := &massacre{t: t, place: place, keys: filepath.Join(t.TempDir(), "keys"), published: map[string]map[uint64]artifacts.Digest{}}
	t.Setenv(keysVariable, m.keys)
	store, err := openPlace(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	m.store = store
	m.made, err = publish.Init(t.Context(), store, publish.InitOptions{Solo: true, KeysDir: m.keys, Passphrase: noPassphrase, Now: night})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.keys, "root.json"), m.made.Root, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := weaken(m.made.KeyFiles); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m.rnd = mathrand.New(mathrand.NewPCG(seed, 0))
	return m
}

// weaken encrypts key files again with half the work: every publisher that is
// killed has a successor that decrypts four of them.
func weaken(files []string) error {
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		block, _ := pem.Decode(b)
		if block == nil {
			return fmt.Errorf("%s: no PEM", file)
		}
		private, err := encrypted.Decrypt(block.Bytes, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if block.Bytes, err = encrypted.EncryptWithCustomKDFParameters(private, []byte{}, encrypted.Legacy); err != nil {
			return err
		}
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// run kills so many publishers, a few at work at any time, and looks at what
// clients see after each.
func (m *massacre) run(kills int) {
	m.t.Helper()
	publishers := 3
	if os.Getenv(killsVariable) != "" {
		publishers = 8
	}
	state := m.t.TempDir()
	done, start, limit := 0, time.Now(), killsFor(m.t)
	var mu sync.Mutex
	take := func() (delay float64, more bool) {
		mu.Lock()
		defer mu.Unlock()
		if done >= kills || (limit > 0 && time.Since(start) > limit) {
			return 0, false
		}
		done++
		return m.rnd.Float64(), true
	}
	var wg sync.WaitGroup
	for i := range publishers {
		channel := []string{"staging", "prod"}[i%2]
		wg.Go(func() {
			for {
				share, more := take()
				if !more || m.t.Failed() {
					return
				}
				m.life(channel, share)
				mu.Lock()
				m.look(state)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if !m.t.Failed() {
		m.reckon(done)
	}
}

// life runs one publisher: it publishes at least once, up to publishesMax times,
// and is killed at a random time in the two publishes after.
func (m *massacre) life(channel string, share float64) {
	c := exec.Command(os.Args[0], "-test.run", "^$")
	c.Env = append(os.Environ(), publisherVariable+"="+channel)
	out, err := c.StdoutPipe()
	if err != nil {
		m.t.Error(err)
		return
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		m.t.Error(err)
		return
	}
	never := time.AfterFunc(nowhere, func() { m.t.Error("a publisher got nowhere"); _ = c.Process.Kill() })
	defer never.Stop()
	var timer *time.Timer
	last, spared, heard := time.Now(), int(share*1000)%publishesMax, false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		never.Reset(nowhere)
		m.mu.Lock()
		took := time.Since(last)
		last = time.Now()
		if timer != nil {
			m.longest = max(m.longest, took)
		}
		if heard { // the first one has decrypted its keys
			m.slowest = max(m.slowest, took)
		}
		heard = true
		window := max(2*m.longest, 600*time.Millisecond)
		m.report(channel, lines.Text())
		m.mu.Unlock()
		if spared--; spared < 0 && timer == nil {
			timer = time.AfterFunc(time.Duration(share*float64(window)), func() { _ = c.Process.Kill() })
		}
	}
	if timer != nil {
		timer.Stop()
	}
	if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		m.t.Errorf("a publisher ended by itself: %v", err)
	}
}

func (m *massacre) report(channel, line string) {
	var sequence uint64
	var manifest artifacts.Digest
	if line == "lost" {
		m.lost++
		return
	}
	if _, err := fmt.Sscanf(line, "published %d %s", &sequence, &manifest); err != nil {
		m.t.Errorf("a publisher said %q", line)
		return
	}
	of := m.published[channel]
	if of == nil {
		of = map[uint64]artifacts.Digest{}
		m.published[channel] = of
	}
	if other, ok := of[sequence]; ok && other != manifest {
		m.t.Errorf("%s release %d was published twice, as %s and as %s", channel, sequence, other.Short(), manifest.Short())
	}
	of[sequence] = manifest
	if m.reports++; m.reports%500 == 0 {
		m.t.Logf("%d releases reported, %d publishers gave up", m.reports, m.lost)
	}
}

// look is a host's client, with its memory: it must see a whole release that
// is not older than what it saw before, whoever died where.
func (m *massacre) look(state string) {
	c, err := trust.Open(trust.Config{Store: m.store, StateDir: state, Root: m.made.Root, Now: func() time.Time { return night }})
	if err != nil {
		m.t.Error(err)
		return
	}
	for _, channel := range []string{"staging", "prod"} {
		if _, err := c.Refresh(m.t.Context(), channel); err != nil && trust.ReasonOf(err) != trust.NoRelease {
			m.t.Errorf("after a kill clients of %s see: %v", channel, err)
		}
	}
	if err := c.Close(); err != nil {
		m.t.Error(err)
	}
}

// reckon repairs with keys that no victim held open, publishes once more, and
// walks every chain of manifests.
func (m *massacre) reckon(kills int) {
	ctx := m.t.Context()
	repo := publish.Repository{Store: m.store, Keys: m.made.Keys, Now: night}
	if _, err := repo.Repair(ctx); err != nil {
		m.t.Fatal(err)
	}
	if again, err := repo.Repair(ctx); err != nil || again {
		m.t.Fatalf("repaired twice: %v, %v", again, err)
	}
	for _, channel := range []string{"staging", "prod"} {
		p, err := proposal(channel, 1, 2)
		if err != nil {
			m.t.Fatal(err)
		}
		done, err := repo.Release(ctx, p)
		if err != nil {
			m.t.Fatal(err)
		}
		m.report(channel, fmt.Sprintln("published", done.Release.Sequence, done.Manifest))
	}
	client, err := trust.Open(trust.Config{Store: m.store, Root: m.made.Root, Now: func() time.Time { return night }})
	if err != nil {
		m.t.Fatal(err)
	}
	audit, err := client.VerifyAll(ctx, "")
	if err = errors.Join(err, client.Close()); err != nil {
		m.t.Fatal(err)
	}
	owner := map[catalog.VariantID]artifacts.Digest{}
	releases := 0
	for _, r := range audit.Releases {
		releases += m.chain(r.Release.Channel, r.Manifest, owner)
	}
	m.t.Logf("%d kills: %d releases reported, %d in the chains, %d ids, %d races lost for good, a publish takes up to %v with the turns of the others",
		kills, m.reports, releases, len(owner), m.lost, m.slowest.Round(time.Millisecond))
}

// chain walks from the newest manifest to the first release: no number is
// skipped, every reported release is there, and no id ever stood for two.
func (m *massacre) chain(channel string, manifest artifacts.Digest, owner map[catalog.VariantID]artifacts.Digest) int {
	n := 0
	next := uint64(0)
	for manifest != "" {
		b, err := m.store.Read(m.t.Context(), trust.TargetName(trust.ManifestTarget(channel), manifest), 1<<20)
		if err != nil {
			m.t.Fatal(err)
		}
		r, err := catalog.ReadRelease(m.t.Context(), b, artifacts.Blobs{Store: m.store})
		if err != nil || artifacts.DigestOf(b) != manifest {
			m.t.Fatalf("%s manifest %s: %v", channel, manifest.Short(), err)
		}
		if next != 0 && r.Sequence != next-1 {
			m.t.Fatalf("%s: release %d comes before release %d", channel, r.Sequence, next)
		}
		next = r.Sequence
		if reported, ok := m.published[channel][r.Sequence]; ok && reported != manifest {
			m.t.Errorf("%s release %d was reported as %s and is %s", channel, r.Sequence, reported.Short(), manifest.Short())
		}
		delete(m.published[channel], r.Sequence)
		for _, e := range r.Entries {
			if was, ok := owner[e.ID]; ok && was != e.Variant.Identity {
				m.t.Errorf("id %d was given away twice", e.ID)
			}
			owner[e.ID] = e.Variant.Identity
		}
		manifest = r.Previous
		n++
	}
	if next != 1 {
		m.t.Errorf("%s: the chain ends at release %d", channel, next)
	}
	for sequence := range m.published[channel] {
		m.t.Errorf("%s release %d was reported and is lost", channel, sequence)
	}
	return n
}
