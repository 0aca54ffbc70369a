//go:build !(linux && amd64)

package universe

import (
	"context"
	"errors"
	"time"
)

// errNoNative is the answer of machines for which there are no native kernels.
// permission.check says so before: they have none of the levels.
var errNoNative = errors.New("native kernels are for Linux on amd64 alone")

type nativeImage struct{}

func newNativeImage([]byte, int) (*nativeImage, error) { return nil, errNoNative }

func (*nativeImage) close() error { return nil }

func (*nativeImage) start(context.Context) (*nativeProcess, error) { return nil, errNoNative }

type nativeProcess struct{ memory []byte }

func (*nativeProcess) steps(context.Context, int, int, int, int, int) (int, error) {
	return 0, errNoNative
}

func (*nativeProcess) cpu() (time.Duration, error) { return 0, errNoNative }

func (*nativeProcess) settled() (time.Duration, error) { return 0, errNoNative }

func (*nativeProcess) close() error { return nil }

func (*nativeProcess) lose(why error) error { return why }
