package gates

import "fmt"

// Signature is a signature by a key that the gates never see.
type Signature struct {
	Key   string `json:"key"`   // the key's id, for people and for finding it
	Bytes []byte `json:"bytes"` // in the signer's own form
}

// Signer signs messages of the gates: charges on the error budget. The caller
// holds the key.
type Signer interface {
	Sign(message []byte) (Signature, error)
}

// Checker refuses a signature that is not by a key that the caller believes.
type Checker interface {
	Check(message []byte, s Signature) error
}

// message binds what is signed to what it is, so that a signature for one
// purpose is none for another.
func message(purpose string, parts ...[]byte) []byte {
	out := fmt.Appendf(nil, "arqon %s\n", purpose)
	for _, p := range parts {
		out = fmt.Appendf(out, "%d\n", len(p))
		out = append(out, p...)
		out = append(out, '\n')
	}
	return out
}
