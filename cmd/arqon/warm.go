package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/arqon/arqon/factory"
)

// elitesFrom reads what an earlier night has found: from a run, by its name or
// directory, or from the newest release of the study's channel in a repository.
func elitesFrom(ctx context.Context, where, out string, st factory.Study) (elites []factory.Elite, err error) {
	path, err := factory.RunPath(out, where)
	if err == nil {
		a, err := factory.ReadAccount(path)
		if err == nil && len(a.Winners) == 0 {
			err = hinted{fmt.Errorf("run %s: its search has not ended, so it has no winners", a.Run), "arqon discover --resume or arqon nightly --resume goes on with it"}
		}
		return a.Elites(), err
	}
	in, openErr := openReading(where, "", "")
	if openErr != nil {
		return nil, hinted{errors.Join(err, openErr), "--from takes a run (ls OUT/runs shows them) or a repository"}
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	rep, err := in.client.VerifyAll(ctx, st.Channel)
	if err != nil {
		return nil, refused(err)
	}
	return factory.ElitesOf(rep.Releases[0].Release), nil
}
