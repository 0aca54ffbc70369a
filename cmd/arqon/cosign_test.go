package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cosignVariablePath is the path of cosign, as make interop builds it. Scripts
// run it as $COSIGN.
const cosignVariablePath = "ARQON_COSIGN"

// cmdCosigned gives every Sigstore bundle of a repository to cosign, with each
// file of the repository that the statement is about:
//
//	cosigned REPOSITORY KEYS TYPE…
//
// Each must verify with the public key below KEYS that its hint names, and
// must be refused when its payload or its signature is changed, with another
// file, another key and another type. The types must be those of the bundles,
// as the ends of their URIs.
func cmdCosigned(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: cosigned REPOSITORY KEYS TYPE…")
	}
	repository := ts.MkAbs(args[0])
	c := cosigner{ts: ts, keys: map[string]string{}, files: map[string]string{}}
	ts.Check(c.find(repository, ts.MkAbs(args[1])))
	types, verified, refused := map[string]int{}, 0, 0
	for _, dir := range []string{"evidence", "approvals"} {
		ts.Check(filepath.WalkDir(filepath.Join(repository, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := readBundle(path)
			if err != nil {
				return err
			}
			types[b.statement.PredicateType]++
			v, r, err := c.bundle(path, b)
			verified, refused = verified+v, refused+r
			return err
		}))
	}
	for _, end := range args[2:] {
		n := 0
		maps.DeleteFunc(types, func(uri string, count int) bool {
			if strings.HasSuffix(uri, "/"+end) {
				n += count
			}
			return strings.HasSuffix(uri, "/"+end)
		})
		if n == 0 {
			ts.Fatalf("no bundle is of type %s", end)
		}
		ts.Logf("%s: %d bundles", end, n)
	}
	if len(types) > 0 {
		ts.Fatalf("bundles of other types: %v", types)
	}
	ts.Logf("cosign verified %d times and refused %d times, as it should", verified, refused)
}

// bundle is what the test needs to know of a Sigstore bundle.
type bundle struct {
	raw     []byte
	hint    string
	payload []byte
	sig     []byte

	statement struct {
		PredicateType string `json:"predicateType"`
		Subject       []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
	}
}

func readBundle(path string) (bundle, error) {
	var b bundle
	var wire struct {
		Material struct {
			PublicKey struct {
				Hint string `json:"hint"`
			} `json:"publicKey"`
		} `json:"verificationMaterial"`
		Envelope struct {
			Payload    []byte `json:"payload"`
			Signatures []struct {
				Sig []byte `json:"sig"`
			} `json:"signatures"`
		} `json:"dsseEnvelope"`
	}
	var err error
	if b.raw, err = os.ReadFile(path); err != nil {
		return b, err
	}
	if err := json.Unmarshal(b.raw, &wire); err != nil || len(wire.Envelope.Signatures) != 1 {
		return b, fmt.Errorf("%s: %d signatures, %w", path, len(wire.Envelope.Signatures), err)
	}
	b.hint, b.payload, b.sig = wire.Material.PublicKey.Hint, wire.Envelope.Payload, wire.Envelope.Signatures[0].Sig
	return b, json.Unmarshal(b.payload, &b.statement)
}

// cosigner knows where keys and files are.
type cosigner struct {
	ts    *testscript.TestScript
	keys  map[string]string // hint → .pub file
	files map[string]string // sha256 → file
}

func (c *cosigner) find(repository, keys string) error {
	err := filepath.WalkDir(keys, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".pub" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		block, _ := pem.Decode(b)
		if block == nil {
			return fmt.Errorf("%s: no PEM", path)
		}
		sum := sha256.Sum256(block.Bytes)
		c.keys[base64.StdEncoding.EncodeToString(sum[:])] = path
		return nil
	})
	if err != nil {
		return err
	}
	return filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		c.files[fmt.Sprintf("%x", sha256.Sum256(b))] = path
		return nil
	})
}

// bundle tries one bundle with every file that it is about.
func (c *cosigner) bundle(path string, b bundle) (verified, refused int, err error) {
	key, ok := c.keys[b.hint]
	if !ok {
		return 0, 0, fmt.Errorf("%s: no key has the hint %s", path, b.hint)
	}
	other := c.otherKey(key)
	for _, s := range b.statement.Subject {
		file, ok := c.files[s.Digest["sha256"]]
		if !ok {
			continue // the variant's identity, which is the digest of no file
		}
		if out, err := c.verify(path, key, b.statement.PredicateType, file); err != nil {
			return verified, refused, fmt.Errorf("%s is refused for %s: %w\n%s", path, file, err, out)
		}
		verified++
		for _, bad := range []struct{ what, bundle, key, kind, file string }{
			{"a changed payload", c.changed(b, b.payload), key, b.statement.PredicateType, file},
			{"a changed signature", c.changed(b, b.sig), key, b.statement.PredicateType, file},
			{"a file with one more byte", path, key, b.statement.PredicateType, c.longer(file)},
			{"another file", path, key, b.statement.PredicateType, key},
			{"another key", path, other, b.statement.PredicateType, file},
			{"another type", path, key, b.statement.PredicateType + "2", file},
		} {
			out, err := c.verify(bad.bundle, bad.key, bad.kind, bad.file)
			if err == nil {
				return verified, refused, fmt.Errorf("%s, %s: accepted\n%s", path, bad.what, out)
			}
			refused++
		}
	}
	if verified == 0 {
		err = fmt.Errorf("%s: none of its subjects is a file of the repository", path)
	}
	return verified, refused, err
}

// verify runs cosign as a stranger to Arqon would.
func (c *cosigner) verify(bundle, key, kind, file string) (string, error) {
	out, err := c.command("verify-blob-attestation", "--bundle", bundle, "--key", key, "--insecure-ignore-tlog=true", "--type", kind, file).CombinedOutput()
	return string(out), err
}

func (c *cosigner) command(args ...string) *exec.Cmd {
	x := exec.Command(os.Getenv(cosignVariablePath), args...)
	x.Dir = c.ts.MkAbs(".")
	x.Env = append(os.Environ(), "HOME="+x.Dir, "HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9")
	return x
}

// changed writes the bundle with one byte of part, its payload or signature,
// changed: a letter of the payload's JSON, or a bit of the signature's numbers.
func (c *cosigner) changed(b bundle, part []byte) string {
	bad := bytes.Clone(part)
	if at := bytes.Index(bad, []byte(`"predicateType":"https`)); at >= 0 {
		at = bytes.Index(bad, []byte(`"name":"`))
		bad[at+len(`"name":"`)] ^= 1
	} else {
		bad[len(bad)-1] ^= 1
	}
	old, now := base64.StdEncoding.EncodeToString(part), base64.StdEncoding.EncodeToString(bad)
	return c.write("changed.sigstore.json", bytes.Replace(b.raw, []byte(old), []byte(now), 1))
}

func (c *cosigner) longer(file string) string {
	b, err := os.ReadFile(file)
	c.ts.Check(err)
	return c.write("longer", append(b, '\n'))
}

func (c *cosigner) write(pattern string, b []byte) string {
	f, err := os.CreateTemp(c.ts.MkAbs("."), "*-"+pattern)
	c.ts.Check(err)
	_, err = f.Write(b)
	c.ts.Check(err)
	c.ts.Check(f.Close())
	return f.Name()
}

func (c *cosigner) otherKey(key string) string {
	paths := slices.Sorted(maps.Values(c.keys))
	paths = slices.DeleteFunc(paths, func(p string) bool { return p == key })
	return paths[0]
}
