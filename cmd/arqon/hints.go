package main

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"syscall"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/artifacts/s3"
	"github.com/arqon/arqon/benchmarks"
	"github.com/arqon/arqon/benchmarks/infer"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/factory"
	"github.com/arqon/arqon/factory/qd"
	"github.com/arqon/arqon/gates"
	"github.com/arqon/arqon/internal/ledger"
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

// inTemplate says where what a template says wrong is written.
func inTemplate(err error) error {
	if err == nil || hint(err) != "" {
		return err
	}
	return hinted{err, "this is below the key command of the study; docs/studies.md has every key of a template"}
}

type knownHint struct {
	is   error
	text string
}

// hints lists the sentinels of the rooms, the special before the general.
func hints() []knownHint {
	return []knownHint{
		{infer.ErrNoData, "make data installs it where apt-get works; make nightly STUDY=studies/compress.yaml needs no data"},
		{infer.ErrBadData, "install the package again, or take the files from another copy"},
		{factory.ErrStudy, "docs/studies.md has every key; studies/ has examples"},
		{factory.ErrNoRun, "ls OUT/runs shows the runs; --out names another place"},
		{factory.ErrNoAccount, "arqon discover or nightly --resume RUN writes what is missing and goes on; runs of older versions have no description"},
		{qd.ErrDescriptor, "an axis is a knob of the space (--axis KNOB), or a metric with the range that matters (--axis METRIC=MIN:MAX)"},
		{factory.ErrBusy, "wait for the other one, or end it; a run belongs to one process"},
		{factory.ErrForeignJournal, "a run's files belong together: start a new run with --study"},
		{factory.ErrNothing, "widen the space, raise budget.evaluations, or loosen tolerances in the study"},
		{gates.ErrAlphaSpent, "the year's error budget is used up: raise policy.alpha_year, or wait for the new year"},
		{gates.ErrLooser, "approvers adopt it: arqon gate adopt FILE --study STUDY --reason WHY, then arqon nightly --adoption FILE; or tighten the policy again"},
		{gates.ErrWaiver, "arqon gate waive --help says what a waiver may say; policy.waivers_year, waiver_days and waiver_signatures bound it"},
		{gates.ErrForeignNight, "the run's gates.ledger belongs to another night: start a new run with --study"},
		{gates.ErrNewerNight, "use the newer arqon that wrote it"},
		{gates.ErrOlderNight, "use the arqon that wrote it, or judge the candidates again: arqon nightly"},
		{ledger.ErrCorrupt, "the file was changed after it was written: restore it from a copy, or start a new run"},
		{publish.ErrPassphrase, "check " + passphraseVariable + "; it is the passphrase that init was given"},
		{publish.ErrKeyFile, "key files are mode 0600 in a folder of mode 0700, in cosign's format"},
		{benchmarks.ErrTimeout, "raise external.timeout in the study, or mend the program"},
		{benchmarks.ErrQuarantined, "the program crashed again and again: run it by hand with one request a line"},
		{benchmarks.ErrCrash, "run the program by hand with one request a line and look at its standard error"},
		{factory.ErrDomain, "mend what the error names; arqon domain check --study STUDY goes through all that a domain has to keep"},
		{s3.ErrUnconditional, "choose a service with conditional writes (If-None-Match and If-Match on PUT), or a newer version of this one: without them two publishers could both win"},
		{s3.ErrBucket, "arqon makes no buckets: make it with the service's own tools, and check the name and ARQON_S3_ENDPOINT"},
		{s3.ErrDenied, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; publishing needs GetObject, PutObject and ListBucket below the prefix"},
		{s3.ErrClock, "set this machine's clock: S3 refuses requests that are 15 minutes off"},
		{s3.ErrLocation, "s3://bucket/prefix with lower-case letters; ARQON_S3_ENDPOINT=https://host[:port] names the service"},
		{s3.ErrRedirect, "set AWS_REGION to the bucket's region, or ARQON_S3_ENDPOINT to the service's own address"},
		{s3.ErrSlow, "check the network and the service; nothing half read was used"},
		{s3.ErrUncertain, "run the same command again: it finds what is there and finishes it"},
		{s3.ErrUnavailable, "check ARQON_S3_ENDPOINT and the service; the last good release goes on being served"},
		{s3.ErrProtocol, "is ARQON_S3_ENDPOINT the address of an S3 service, not of its console?"},
		{errNoPassphrase, "set " + passphraseVariable + " (it may be empty for a trial), or run in a terminal"},
		{gates.ErrAlphaLost, "restore the ledger from a copy; runs of another budget belong into another --out"},
		{gates.ErrUnsigned, budgetVariable + " names the key file that signed the error budget's charges"},
		{context.Canceled, "interrupted; a nightly or a discover goes on with --resume RUN, anything else is run again"},
		{exec.ErrNotFound, "install the program, or give its path in external.command of the study"},
		{syscall.ENOSPC, "free some space; what was already recorded is kept, so the same command, or for a night the one with --resume, goes on"},
		{syscall.EROFS, "the place is read-only: choose another with --out or --repository"},
		{syscall.EACCES, "check who owns the path and its mode"},
		{artifacts.ErrConflict, "others write to it at the same time, over and over: run the same command again"},
		{artifacts.ErrNotFound, "check the path; arqon init --repository DIR makes a repository, arqon nightly makes runs"},
		{fs.ErrNotExist, "check the path; -h shows what the command reads"},
		{artifacts.ErrCorrupt, "the bytes were changed after they were written: restore them from a copy, do not edit them"},
	}
}
