package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/forge"
	"github.com/arqon/arqon/catalog/trust"
)

// cmdAttack makes one attack of catalog/forge upon the repository repo, with
// just the keys that it says it holds, and looks at it from outside:
//
//	attack NAME REASON
//
// arqon verify must answer no with the reason, in its story and in its JSON,
// and with a hint. The server at $URL must say that it is unhealthy and why,
// and go on answering from the release that it has. Then the repository is put
// back, and the server must be healthy again.
func cmdAttack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: attack NAME REASON")
	}
	i := slices.IndexFunc(forge.Attacks(), func(a forge.Attack) bool { return a.Name == args[0] })
	if i < 0 {
		ts.Fatalf("no attack is called %q", args[0])
	}
	a := forge.Attacks()[i]
	if string(a.Reason) != args[1] {
		ts.Fatalf("catalog/forge expects %s", a.Reason)
	}
	repo := ts.MkAbs("repo")
	good := files(ts, repo)
	store, err := artifacts.OpenExistingDir(repo)
	ts.Check(err)
	defer func() { ts.Check(store.Close()) }()
	f := &forge.Forger{Store: store, Now: now()}
	for _, role := range a.Holds {
		f.Keys = append(f.Keys, stolen(ts, filepath.Join(ts.MkAbs("repo-keys"), role+".key")))
	}
	ts.Check(a.Do(context.Background(), f))
	switch {
	case a.HostOnly:
		ts.Check(ts.Exec("arqon", "verify", "--repository", "repo", "--json"))
		cmdJSON(ts, false, []string{"stdout", "releases.0.here", "==", "0"})
	case a.Reason == trust.NoRelease:
		cmdRefused(ts, false, []string{args[1], "--channel", "staging"})
	default:
		cmdRefused(ts, false, args[1:])
	}
	serves(ts, args[1], a.Unseen)
	restore(ts, repo, good)
	serves(ts, "", false)
}

// cmdRefused asks arqon verify, which must refuse for the reason:
//
//	refused REASON [FLAG…]
func cmdRefused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: refused REASON [FLAG…]")
	}
	cmdExits(ts, false, append([]string{"1", "arqon", "verify", "--repository", "repo", "--json"}, args[1:]...))
	cmdJSON(ts, false, []string{"stdout", "ok", "==", "false"})
	cmdJSON(ts, false, []string{"stdout", "reason", "==", args[0]})
	story := ts.ReadFile("stderr")
	if !strings.Contains(story, "refused ("+args[0]+")") || !strings.Contains(story, "\nhint: ") {
		ts.Fatalf("no reason, or no hint: %s", story)
	}
}

// cmdServes asks the server at $URL:
//
//	serves [REASON]
//
// It must answer from the release that it had when it was asked first, and be
// unhealthy for the reason, or healthy without one.
func cmdServes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: serves [REASON]")
	}
	serves(ts, strings.Join(args, ""), false)
}

func serves(ts *testscript.TestScript, reason string, unseen bool) {
	url := ts.Getenv("URL")
	last := ""
	for range 2400 {
		last = body(ts, url+"/readyz", nil)
		if strings.HasPrefix(last, "release 2,") && strings.Contains(last, "unhealthy") == (reason != "" && !unseen) &&
			(unseen || strings.Contains(last, "("+reason+")") || reason == "") {
			image := body(ts, url+"/v1/predict", bytes.NewReader(make([]byte, pixels)))
			if !strings.Contains(image, `"release":2`) {
				ts.Fatalf("it does not answer from release 2: %s", image)
			}
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	ts.Fatalf("in a minute the server did not say %q: %s", reason, last)
}

func body(ts *testscript.TestScript, url string, post io.Reader) string {
	var resp *http.Response
	var err error
	if post == nil {
		resp, err = http.Get(url)
	} else {
		resp, err = http.Post(url, "application/octet-stream", post)
	}
	ts.Check(err)
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	ts.Check(err)
	ts.Check(resp.Body.Close())
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("%s: %s: %s", url, resp.Status, b)
	}
	return string(b)
}

// files is what is in a directory; restore makes it so again.
func files(ts *testscript.TestScript, dir string) map[string][]byte {
	all := map[string][]byte{}
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all[path], err = os.ReadFile(path)
		return err
	}))
	return all
}

func restore(ts *testscript.TestScript, dir string, good map[string][]byte) {
	bad := files(ts, dir)
	for _, path := range slices.Sorted(maps.Keys(good)) {
		if !bytes.Equal(bad[path], good[path]) {
			ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
			ts.Check(os.WriteFile(path+".new", good[path], 0o644))
			ts.Check(os.Rename(path+".new", path)) // who reads meanwhile reads a whole file
		}
	}
	for path := range bad {
		if _, ok := good[path]; !ok {
			ts.Check(os.Remove(path))
		}
	}
}

// cmdBecome makes one directory hold exactly what another one does, file by
// file, while a host has it open:
//
//	become DIR LIKE
func cmdBecome(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: become DIR LIKE")
	}
	dir, like := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	want := map[string][]byte{}
	for path, b := range files(ts, like) {
		rel, err := filepath.Rel(like, path)
		ts.Check(err)
		want[filepath.Join(dir, rel)] = b
	}
	restore(ts, dir, want)
}

var (
	stolenMu   sync.Mutex
	stolenKeys = map[string]forge.Key{}
)

// stolen decrypts a key file as a thief does who knows the passphrase too.
func stolen(ts *testscript.TestScript, file string) forge.Key {
	stolenMu.Lock()
	defer stolenMu.Unlock()
	k, ok := stolenKeys[file]
	if !ok {
		var err error
		if k, err = readStolen(file); err != nil {
			ts.Fatalf("%s: %v", file, err)
		}
		stolenKeys[file] = k
	}
	return k
}

func readStolen(file string) (forge.Key, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return forge.Key{}, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return forge.Key{}, fmt.Errorf("no PEM")
	}
	der, err := encrypted.Decrypt(block.Bytes, nil)
	if err != nil {
		return forge.Key{}, err
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return forge.Key{}, err
	}
	return forge.NewKey(private.(*ecdsa.PrivateKey))
}

// cmdForgeProd signs the next prod release of a repository of several people
// with the named key files, as a thief of the publisher's keys would who has
// no more approvals than these; the same file twice is the same key twice.
//
//	forgeprod REPOSITORY SNAPSHOT.key TIMESTAMP.key PROD.key…
func cmdForgeProd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: forgeprod REPOSITORY SNAPSHOT.key TIMESTAMP.key PROD.key…")
	}
	forging(ts, args[0], args[1:], func(ctx context.Context, f *forge.Forger) error {
		return f.Prod(ctx, f.Keys[2:]...)
	})
}

// forging opens a repository to a forger who holds the key files. A.key=B.key
// signs with B and says that it was A.
func forging(ts *testscript.TestScript, repository string, keys []string, do func(context.Context, *forge.Forger) error) {
	store, err := artifacts.OpenExistingDir(ts.MkAbs(repository))
	ts.Check(err)
	defer func() { ts.Check(store.Close()) }()
	f := &forge.Forger{Store: store, Now: now()}
	for _, file := range keys {
		name, by, other := strings.Cut(file, "=")
		k := stolen(ts, ts.MkAbs(name))
		if other { // signs under the first one's name
			k.Private = stolen(ts, ts.MkAbs(by)).Private
		}
		f.Keys = append(f.Keys, k)
	}
	ts.Check(do(context.Background(), f))
}

// cmdForgeStatement signs a bundle with a key that is not of its role; the last
// file is that key. A report goes with the next staging release; the words of
// an approval go where the owner of the other key of prod's newest release has
// theirs:
//
//	forgestatement report REPOSITORY SNAPSHOT.key TIMESTAMP.key STAGING.key KEY
//	forgestatement words REPOSITORY PROD.key KEY
func cmdForgeStatement(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || (args[0] != "report" || len(args) != 6) && (args[0] != "words" || len(args) != 4) {
		ts.Fatalf("usage: forgestatement report REPOSITORY SNAPSHOT.key TIMESTAMP.key STAGING.key KEY | words REPOSITORY PROD.key KEY")
	}
	forging(ts, args[1], args[2:], func(ctx context.Context, f *forge.Forger) error {
		key := f.Keys[len(f.Keys)-1]
		if args[0] == "words" {
			return f.Words(ctx, f.Keys[0].ID, key)
		}
		return f.Report(ctx, key)
	})
}

// cmdForgeSignature puts a signature beside a proposal by hand, and the words
// of its approval, without asking whether the key may:
//
//	forgesignature REPOSITORY PROPOSAL KEY
func cmdForgeSignature(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: forgesignature REPOSITORY PROPOSAL KEY")
	}
	at, err := os.ReadDir(filepath.Join(ts.MkAbs(args[0]), "proposals"))
	ts.Check(err)
	i := slices.IndexFunc(at, func(d fs.DirEntry) bool { return strings.HasPrefix(d.Name(), args[1]) })
	if i < 0 {
		ts.Fatalf("no proposal %s", args[1])
	}
	manifest, err := artifacts.ParseDigest("sha256:" + at[i].Name())
	ts.Check(err)
	forging(ts, args[0], args[2:], func(ctx context.Context, f *forge.Forger) error {
		return f.SignProposal(ctx, manifest, f.Keys[0])
	})
}

// cmdExpire lets a channel's role be past its date, by its own keys:
//
//	expire REPOSITORY CHANNEL SNAPSHOT.key TIMESTAMP.key ROLE.key
func cmdExpire(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: expire REPOSITORY CHANNEL SNAPSHOT.key TIMESTAMP.key ROLE.key")
	}
	forging(ts, args[0], args[2:], func(ctx context.Context, f *forge.Forger) error { return f.Expire(ctx, args[1]) })
}

// cmdSetProposal sets a variable to the proposal that a command says it made:
//
//	setproposal VARIABLE FILE
func cmdSetProposal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: setproposal VARIABLE FILE")
	}
	_, after, _ := strings.Cut(ts.ReadFile(args[1]), "proposal ")
	name, _, ok := strings.Cut(after, ":")
	if !ok {
		ts.Fatalf("%s names no proposal", args[1])
	}
	ts.Setenv(args[0], name)
}
