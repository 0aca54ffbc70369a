// Program host is the least that verifies a repository: TestLinkedSize builds
// it to see how large that is.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/arqon/arqon/artifacts"
	"github.com/arqon/arqon/catalog/trust"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, repository, state string) error {
	store, err := artifacts.OpenExistingDir(repository)
	if err != nil {
		return err
	}
	c, err := trust.Open(trust.Config{Store: store, StateDir: state, Now: time.Now})
	if err != nil {
		return err
	}
	v, err := c.Refresh(ctx, "prod")
	if err != nil {
		return err
	}
	fmt.Println(v.Manifest())
	return c.Close()
}
