// Package sandbox starts the programs of a node and sees to it that nothing of them
// outlives it.
//
// A program is started through the launcher: this very binary, called by another
// name, which applies what has to be applied inside the new process and then becomes
// the program. It is told of its parent's death by the kernel, carries a mark in its
// environment that its descendants inherit, and belongs to a node that takes in
// the descendants whose parents have ended. A guard, a process of the same
// binary, ends what a killed node leaves behind; what is still there at the next
// start is found by its mark.
//
//	s := sandbox.New(dir, nil)
//	if err := s.Open(); err != nil {
//		return err
//	}
//	defer s.Close()
//	child := s.Child("files", sandbox.Limits{Memory: 1 << 30}, nil)
//	err := child.Start(exec.Command("mcp-files")) // Wait for it as ever
//	child.Release()                               // and for what it has left
//
// It knows nothing of MCP, and does not restart anything.
package sandbox
