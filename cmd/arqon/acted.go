package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog"
	"github.com/arqon/arqon/catalog/publish"
	"github.com/arqon/arqon/gates/report"
)

// jsonFlag is the flag that every verb with an answer has.
func jsonFlag(c *cobra.Command, to *bool) {
	c.Flags().BoolVar(to, "json", false, "print the answer as JSON")
}

// word quotes s where a shell would not take it as one word: what "next:" says
// is there to be copied.
func word(s string) string { return report.ShellWord(s) }

// signedAnswer is the JSON form of arqon sign.
type signedAnswer struct {
	releaseAnswer
	Nights      []nightName `json:"nights"` // whose reports speak for what is new
	Proposed    time.Time   `json:"proposed"`
	GateReports int         `json:"gate_reports"` // verified just now
	Signed      []string    `json:"signed"`       // ids of the keys that have signed
	Threshold   int         `json:"threshold"`
	Enough      bool        `json:"enough"` // it can be published
	Difference  difference  `json:"difference"`
}

// releaseAnswer names a release or a proposal of one.
type releaseAnswer struct {
	Manifest artifacts.Digest `json:"manifest"`
	Channel  string           `json:"channel"`
	Sequence uint64           `json:"sequence"`
	Entries  int              `json:"entries"`
}

func releaseOf(manifest artifacts.Digest, r catalog.Release) releaseAnswer {
	return releaseAnswer{manifest, r.Channel, r.Sequence, len(r.Entries)}
}

func printSigned(w io.Writer, rv *publish.Review) error {
	signed := append([]string{}, rv.Signed...)
	return printJSON(w, signedAnswer{
		releaseOf(rv.Manifest, rv.Release), nightsOf(rv), rv.Created, rv.Evidence, signed, rv.Threshold, len(signed) >= rv.Threshold, differenceOf(rv.Difference),
	})
}

// publishedAnswer is the JSON form of arqon publish.
type publishedAnswer struct {
	releaseAnswer
	Approvers []string `json:"approvers"`
	Again     bool     `json:"again"` // it was published already
}

// submittedAnswer is the JSON form of arqon promote and rollback.
type submittedAnswer struct {
	releaseAnswer
	Published  bool            `json:"published"` // false: a proposal that awaits signatures
	Withheld   []differentLine `json:"withheld"`  // withdrawn entries that stay out
	Difference difference      `json:"difference"`
}

func printSubmitted(w io.Writer, r releaseAnswer, published bool, left []catalog.Entry, d catalog.Difference) error {
	withheld := []differentLine{}
	for _, e := range left {
		withheld = append(withheld, differentLine{ID: uint32(e.ID), Name: e.Variant.Name})
	}
	return printJSON(w, submittedAnswer{r, published, withheld, differenceOf(d)})
}

// keysAnswer is the JSON form of a change of keys; what did not change is left
// out.
type keysAnswer struct {
	Role    string `json:"role,omitempty"`
	Granted string `json:"granted,omitempty"` // the new key's file
	Revoked string `json:"revoked,omitempty"` // the old key's id
	Renewed bool   `json:"renewed,omitempty"`
	Key     string `json:"key,omitempty"` // id of a key that was made
	File    string `json:"file,omitempty"`
}
