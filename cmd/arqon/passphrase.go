package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"
)

// passphraseVariable holds the passphrase of key files for unattended runs;
// set but empty means the empty passphrase, which a --solo trial may use.
const passphraseVariable = "ARQON_PASSPHRASE"

// cosignVariable is honoured too, since the key files are cosign's.
const cosignVariable = "COSIGN_PASSWORD"

const passphraseBytesMax = 1 << 10

var errNoPassphrase = errors.New("the key files need a passphrase")

// passphraseReader returns a function that asks once a process: the environment
// first, then the terminal.
func passphraseReader(confirm bool) func() ([]byte, error) {
	var known []byte
	asked := false
	return func() ([]byte, error) {
		if asked {
			return known, nil
		}
		p, err := readPassphrase(confirm)
		if err == nil {
			known, asked = p, true
		}
		return p, err
	}
}

func readPassphrase(confirm bool) ([]byte, error) {
	for _, name := range []string{passphraseVariable, cosignVariable} {
		if v, ok := os.LookupEnv(name); ok {
			if len(v) > passphraseBytesMax {
				return nil, fmt.Errorf("%s is longer than %d bytes", name, passphraseBytesMax)
			}
			return []byte(v), nil
		}
	}
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil, errNoPassphrase
	}
	p, err := prompt(fd, "Passphrase of the key files: ")
	if err != nil || !confirm {
		return p, err
	}
	again, err := prompt(fd, "The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(p, again) {
		return nil, errors.New("the two passphrases differ")
	}
	return p, nil
}

func prompt(fd int, text string) ([]byte, error) {
	fmt.Fprint(os.Stderr, text)
	p, err := term.ReadPassword(fd)
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	if len(p) > passphraseBytesMax {
		return nil, fmt.Errorf("a passphrase has at most %d bytes", passphraseBytesMax)
	}
	return p, nil
}
