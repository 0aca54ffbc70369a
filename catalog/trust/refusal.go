package trust

import (
	"errors"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
)

// Reason is why a repository was refused. The zero Reason is not one.
type Reason string

// The closed list of reasons.
const (
	Missing      Reason = "missing"       // a file that must exist does not
	Malformed    Reason = "malformed"     // not the one form that this file may have
	BadDigest    Reason = "digest"        // bytes differ from the digest or length signed for them
	TooLarge     Reason = "too-large"     // more bytes than allowed
	BadSignature Reason = "signature"     // a signature does not verify
	Threshold    Reason = "threshold"     // fewer distinct keys signed than the role needs
	BadRole      Reason = "role"          // a role or key definition breaks the rules
	ForeignRoot  Reason = "foreign-root"  // signed, but not by the root that was pinned
	Expired      Reason = "expired"       // past its date: somebody stopped publishing or freezes us
	Rollback     Reason = "rollback"      // older than what was seen before
	FastForward  Reason = "fast-forward"  // so far ahead that it can only be meant to lock others out
	MixAndMatch  Reason = "mix-and-match" // versions that were never published together
	SplitView    Reason = "split-view"    // a log that does not continue the one that was seen before
	NotLogged    Reason = "not-logged"    // a commit that the log does not hold
	WrongChannel Reason = "wrong-channel" // a manifest of another channel
	Repointed    Reason = "id-repointed"  // an id stands for another variant than before
	NextID       Reason = "next-id"       // the next id went down: ids would be reused
	Unyanked     Reason = "yank-removed"  // a withdrawn id is no longer withdrawn
	Hardware     Reason = "hardware"      // made for other machines
	ABI          Reason = "runtime-abi"   // needs a newer runtime
	BadEvidence  Reason = "evidence"      // a statement is not about what it is listed for
	Smoke        Reason = "smoke"         // an entry that does not open, or does not answer as it must
	NoRelease    Reason = "no-release"    // the channel has no release yet
	Unreadable   Reason = "unreadable"    // the store or the state could not be read
)

// Refusal says that something was not believed: why, in which file, and what
// was wrong there. Nothing of what was refused has been adopted.
type Refusal struct {
	Reason Reason
	File   string // name in the repository or in the state directory
	Detail string
	Err    error // the cause, may be nil
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s: refused (%s): %s", r.File, r.Reason, r.Detail)
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// ReasonOf returns the reason of the refusal in err, or "".
func ReasonOf(err error) Reason {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

func refuse(reason Reason, file, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, File: file, Detail: fmt.Sprintf(format, args...)}
}

// refusal gives err, which is about file, its reason.
func refusal(file string, err error) error {
	var r *Refusal
	if errors.As(err, &r) {
		return err
	}
	reason := Unreadable
	var (
		unsigned *metadata.ErrUnsignedMetadata
		version  *metadata.ErrBadVersionNumber
		expired  *metadata.ErrExpiredMetadata
		digest   *metadata.ErrLengthOrHashMismatch
		rep      *metadata.ErrRepository
		value    *metadata.ErrValue
	)
	switch {
	case errors.Is(err, artifacts.ErrNotFound):
		reason = Missing
	case errors.Is(err, artifacts.ErrCorrupt), errors.As(err, &digest):
		reason = BadDigest
	case errors.Is(err, artifacts.ErrTooLarge):
		reason = TooLarge
	case errors.As(err, &unsigned):
		reason = Threshold
	case errors.As(err, &version):
		reason = MixAndMatch
	case errors.As(err, &expired):
		reason = Expired
	case errors.As(err, &value):
		reason = BadRole
	case errors.As(err, &rep), errors.Is(err, catalog.ErrManifest):
		reason = Malformed
	}
	return &Refusal{Reason: reason, File: file, Detail: err.Error(), Err: err}
}

// signed is refusal for a file whose signatures did not suffice: too few of
// them is another thing than enough of them that do not verify.
func signed(file string, err error, signatures []metadata.Signature, threshold int) error {
	var unsigned *metadata.ErrUnsignedMetadata
	if errors.As(err, &unsigned) && len(signatures) >= threshold {
		return &Refusal{Reason: BadSignature, File: file, Detail: err.Error(), Err: err}
	}
	return refusal(file, err)
}
