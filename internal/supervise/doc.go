// Package supervise keeps services running: when one ends with an error it is
// started again, slower and slower, and after too many failures only now and then.
//
// It owns the restart policy (a [Keeper] for one service) and the tree that
// holds them (a [Tree] on github.com/thejerf/suture/v4). It knows nothing of MCP.
//
//	tree := supervise.NewTree("node", nil)
//	tree.Add("upstream files", files)
//	err := tree.Run(ctx)
package supervise
