// Package trust is the verifying client of a catalog: the only maker of
// catalog.Verified.
//
// It reads a repository that anybody may have written and believes nothing in
// it that does not follow, by TUF's rules, from a pinned root: root by root,
// timestamp, snapshot, targets, the channel's role, the manifest, then every
// artifact by its digest. What was seen once is remembered durably, so an old
// repository, a re-pointed id or a removed yank is refused by name, and the
// last good release goes on being served.
//
// It is not for publishing: no private key type, no writing outside its own
// state directory, and no network; bytes come through artifacts.Store.
package trust
