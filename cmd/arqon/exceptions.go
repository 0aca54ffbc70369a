package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/trust"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/gates"
)

// exceptionBytesMax bounds a waiver or adoption file.
const exceptionBytesMax = 1 << 20

// exceptions are the files that a night was given: what it judges under beside
// its study. The run keeps them, so that a resumed night knows them.
type exceptions struct {
	Waivers  []artifacts.Ref `json:"waivers,omitempty"`
	Adoption *artifacts.Ref  `json:"adoption,omitempty"`
}

// keep copies the files that the flags name into the run.
func (f nightlyFlags) keep(ctx context.Context, run *factory.Run) (out exceptions, err error) {
	take := func(path string) (artifacts.Ref, error) {
		b, err := readCosigned(path)
		if err != nil {
			return artifacts.Ref{}, err
		}
		if b == nil {
			return artifacts.Ref{}, fmt.Errorf("%s: %w", path, os.ErrNotExist)
		}
		_, err = run.Blobs().Put(ctx, b)
		return artifacts.RefOf(filepath.Base(path), trust.CosignedMediaType, b), err
	}
	for _, path := range f.waivers {
		ref, err := take(path)
		if err != nil {
			return out, err
		}
		out.Waivers = append(out.Waivers, ref)
	}
	if f.adoption != "" {
		ref, err := take(f.adoption)
		if err != nil {
			return out, err
		}
		out.Adoption = &ref
	}
	return out, nil
}

// grant gives the judge the waivers and the adoption that the run was started
// with, each with the number of the repository's approvers whose signatures
// hold today.
func (h *handover) grant(ctx context.Context, j *gates.Judge, given exceptions) error {
	keys, err := h.repo.Approvers(ctx, string(catalog.ScopeProd))
	if err != nil {
		return err
	}
	j.Approvers = len(keys)
	for _, ref := range given.Waivers {
		s, signers, err := h.cosigned(ctx, ref, catalog.PredicateWaiver)
		if err != nil {
			return err
		}
		w, err := catalog.DecodeWaiver(s.Predicate)
		if err != nil {
			return fmt.Errorf("waiver %s: %w", ref.Name, err)
		}
		j.Waivers = append(j.Waivers, gates.Grant{Waiver: w, File: ref, Signers: signers})
	}
	if given.Adoption == nil {
		return nil
	}
	s, signers, err := h.cosigned(ctx, *given.Adoption, catalog.PredicatePolicy)
	if err != nil {
		return err
	}
	var a adoption
	if err := json.Unmarshal(s.Predicate, &a); err != nil || a.Study != j.Study {
		return fmt.Errorf("adoption %s: is for study %q, this is %q: %w", given.Adoption.Name, a.Study, j.Study, trust.ErrStatement)
	}
	j.Adoption = &gates.Adoption{Policy: a.Policy, File: given.Adoption.Digest, Signers: signers}
	return nil
}

func (h *handover) cosigned(ctx context.Context, ref artifacts.Ref, predicateType string) (trust.Statement, int, error) {
	keys, err := h.repo.Approvers(ctx, string(catalog.ScopeProd))
	if err != nil {
		return trust.Statement{}, 0, err
	}
	b, err := h.run.Blobs().Get(ctx, ref)
	if err != nil {
		return trust.Statement{}, 0, err
	}
	s, signers, err := trust.VerifyCosigned(b, predicateType, keys...)
	if err != nil {
		err = hinted{fmt.Errorf("%s: %w", ref.Name, err), "the approvers for prod of the repository sign it: arqon gate waive, arqon gate adopt"}
	}
	return s, signers, err
}

// readCosigned reads a signed file of an approver; nil: there is none.
func readCosigned(path string) (b []byte, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err = io.ReadAll(io.LimitReader(f, exceptionBytesMax+1))
	if err == nil && len(b) > exceptionBytesMax {
		err = fmt.Errorf("%s: more than %d bytes are not read", path, exceptionBytesMax)
	}
	if err == nil && len(b) == 0 {
		err = fmt.Errorf("%s: is empty", path)
	}
	return b, err
}

// replaceFile writes a file durably where old is, or where nothing is for nil.
func replaceFile(ctx context.Context, path string, old, b []byte) (err error) {
	dir, err := artifacts.OpenExistingDir(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	return dir.Swap(ctx, filepath.Base(path), old, b)
}

// unpublished refuses exceptions for a night whose repository has no approvers
// to have signed them.
func (f nightlyFlags) unpublished() error {
	if len(f.waivers) == 0 && f.adoption == "" {
		return nil
	}
	return hinted{errors.New("waivers and adoptions are signed by the approvers of a repository, and this night publishes to none"), "name one with --repository, or drop the flag"}
}
