package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/catalog/trust"
	"github.com/arqon/arqon/gates"
)

// budgetVariable names the private key file whose signature every charge on
// the error budget carries: budget.key with budget.pub beside
// it, as arqon gate key makes them. Unset: charges are hash-chained but not
// signed.
const budgetVariable = "ARQON_BUDGET_KEY"

// predicateGates is the statement type of what the gates sign: the subject is
// the digest of the message, the predicate is empty.
const predicateGates = "https://github.com/arqon/arqon/gate-message/v1"

// budgetKey signs with a key file, which is opened when first needed.
type budgetKey struct {
	path string
	key  *publish.Key
}

// Sign implements gates.Signer with a statement about the message.
func (b *budgetKey) Sign(message []byte) (gates.Signature, error) {
	if b.key == nil {
		pass := passphraseReader(false)
		k, err := publish.ReadKey(b.path, func(string) ([]byte, error) { return pass() })
		if err != nil {
			return gates.Signature{}, err
		}
		b.key = k
	}
	bundle, err := publish.SignStatement(b.key, predicateGates, subjectOf(message), []byte("{}"))
	return gates.Signature{Key: b.key.ID, Bytes: bundle}, err
}

func subjectOf(message []byte) []trust.Subject {
	return []trust.Subject{{Name: "message", Digest: artifacts.DigestOf(message)}}
}

// budgetChecker believes one public key.
type budgetChecker struct{ public *ecdsa.PublicKey }

// Check implements gates.Checker.
func (b budgetChecker) Check(message []byte, s gates.Signature) error {
	st, err := trust.VerifyStatement(s.Bytes, b.public)
	if err != nil {
		return err
	}
	if st.PredicateType != predicateGates || !st.About(artifacts.DigestOf(message)) {
		return errors.New("the signature is for something else")
	}
	return nil
}

// budgetKeys returns signer and checker, both nil when the variable is unset.
func budgetKeys() (gates.Signer, gates.Checker, error) {
	path := os.Getenv(budgetVariable)
	if path == "" {
		return nil, nil, nil
	}
	c, err := readBudgetPublic(path)
	if err != nil {
		return nil, nil, hinted{fmt.Errorf("%s: %w", budgetVariable, err), "arqon gate key FILE makes a pair"}
	}
	return &budgetKey{path: path}, c, nil
}

// budget gives a judge the keys of the error budget, what the runs below out
// remember of its ledger, the noise of earlier nights, and the study's anchor if
// one is pinned.
func budget(j *gates.Judge, out string) (err error) {
	j.NoisePath = filepath.Join(out, "noise.ledger")
	if path := anchorPath(out, j.Study); exists(path) {
		j.AnchorPath = path
	}
	if j.Signer, j.Checker, err = budgetKeys(); err != nil {
		return err
	}
	j.AlphaHeads, err = gates.AlphaHeads(filepath.Join(out, "runs"))
	return err
}

const publicBytesMax = 64 << 10

// readBudgetPublic reads the .pub file beside a .key file.
func readBudgetPublic(keyPath string) (gates.Checker, error) {
	path := keyPath
	if ext := filepath.Ext(keyPath); ext == ".key" {
		path = keyPath[:len(keyPath)-len(ext)] + ".pub"
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > publicBytesMax {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are read", path, st.Size(), publicBytesMax)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: not a public key in PEM", path)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	ec, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s: a %T, want ECDSA P-256", path, public)
	}
	return budgetChecker{ec}, nil
}
