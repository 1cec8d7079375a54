// Package health knows how each component of a node is: it checks them at their
// pace, and changes its mind slowly enough not to flap.
//
//	m := health.New([]health.Component{{Name: "disk", Check: health.Disk(dir)}}, nil)
//	go m.Run(ctx)
//	m.Verdict()
package health
