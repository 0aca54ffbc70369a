// Package arch tests the house itself: who may import whom, that every package
// says what it is for, and that files stay readable. It has no code of its own;
// the rooms are described in docs/architecture.md.
package arch
