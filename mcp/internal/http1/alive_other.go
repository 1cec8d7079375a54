//go:build !unix

package http1

import "time"

// idleTrust is how long an idle connection is taken for open where nobody can tell.
const idleTrust = 2 * time.Second

func (cn *conn) watch() {}

// alive reports whether an idle connection can be used: keep has seen to it.
func (cn *conn) alive() bool { return true }
