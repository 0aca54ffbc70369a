// Package seal holds the token without which no catalog.Verified can be made.
// Only catalog and catalog/trust may import it (internal/arch checks that), so
// a value of type *catalog.Verified is a proof that catalog/trust checked it.
package seal

// Token proves that the caller can import this package. The zero Token, which
// anybody could conjure up by type inference, is not valid.
type Token struct{ real bool }

// New returns a valid token.
func New() Token { return Token{real: true} }

// Valid reports whether the token came from New.
func (t Token) Valid() bool { return t.real }
