package main

import (
	"context"
	"errors"
	"syscall"

	"github.com/arqon/arqon/artifacts"
)

// hinted is an error that already knows what to do about it.
type hinted struct {
	err  error
	text string
}

func (h hinted) Error() string { return h.err.Error() }
func (h hinted) Unwrap() error { return h.err }

// hint says what a person can do about an error, or "".
func hint(err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.text
	}
	for _, known := range hints() {
		if errors.Is(err, known.is) {
			return known.text
		}
	}
	return ""
}

type knownHint struct {
	is   error
	text string
}

// hints lists the sentinels of the rooms, the special before the general.
func hints() []knownHint {
	return []knownHint{
		{errNoPassphrase, "set " + passphraseVariable + " (it may be empty for a trial), or run in a terminal"},
		{context.Canceled, "interrupted; nothing measured is lost: arqon nightly --resume RUN goes on"},
		{syscall.ENOSPC, "free some space; what was already recorded is kept, so the same command with --resume goes on"},
		{syscall.EROFS, "the place is read-only: choose another with --out or --repository"},
		{syscall.EACCES, "check who owns the path and its mode"},
		{artifacts.ErrNotFound, "check the path; arqon init --repository DIR makes a repository, arqon nightly makes runs"},
		{artifacts.ErrCorrupt, "the bytes were changed after they were written: restore them from a copy, do not edit them"},
	}
}
