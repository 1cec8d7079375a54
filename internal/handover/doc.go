// Package handover lets a process take over from a running one: the one that runs
// starts the new program with its listening sockets, and the two speak over a
// connection that only they have. It knows nothing of MCP.
//
//	running process                        new process
//	Start ── descriptors, Hello ─────────> Inherit
//	        <──────── Ready or Failed ──── builds everything, accepts nothing yet
//	stops accepting ── Go ──────────────>  accepts
//	finishes what it owns ── Draining ──>  passes on what belongs there
//	        <──────── End ────────────────
//	ends ── Ended ──────────────────────>  passes nothing on any more
//
// The sockets stay open all the time, so no connection is refused: what comes in
// between waits in their backlog. Descriptors are numbered and named as in systemd's
// socket activation (LISTEN_FDS, LISTEN_FDNAMES), beside the connection, named
// "upgrade". Secrets go over the connection, never by arguments or environment.
package handover
