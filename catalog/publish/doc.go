// Package publish builds, signs and commits releases: key files, the creation
// of a repository, proposals, approvals, the commit itself and its repair.
//
// A release is published when its snapshot's numbered file has been created,
// which only one of several publishers can do; the one mutable object, the
// timestamp, follows and can be rolled forward by any publisher. Ids are
// allocated when a proposal is made against the current releases, because
// approvers sign the exact bytes; a proposal whose base has moved is stale and
// is made again.
//
// The package is for people and nightly jobs, never for a runtime: nothing
// that serves may import it, because it can sign. Nothing here decides whether
// a variant is good; that is what the gates' evidence says.
package publish
