package publish

import "github.com/secure-systems-lab/go-securesystemslib/encrypted"

// The tests write and read many key files: scrypt at half the shipped
// strength keeps them short. Every strength is the same file format.
func init() { strength = encrypted.Legacy }
