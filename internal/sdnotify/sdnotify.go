// Package sdnotify tells systemd how the process is doing (sd_notify(3)): datagrams on
// the socket that NOTIFY_SOCKET names. Without one there is nobody to tell, and every
// method of a nil Notifier does nothing.
package sdnotify

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Notifier tells the service manager. It is safe for concurrent use.
type Notifier struct {
	conn     *net.UnixConn
	watchdog time.Duration
}

// Open makes the Notifier that the environment asks for, or nil if it asks for none.
// lookup is os.LookupEnv but for tests.
func Open(lookup func(string) (string, bool)) (*Notifier, error) {
	path, _ := lookup("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil //nolint:nilnil // there is nobody to tell, and that is fine
	}
	if path[0] != '/' && path[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET is %q, which is neither a path nor an abstract name", path)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	n := &Notifier{conn: conn}
	// Meant for another process if it names one (sd_watchdog_enabled(3)).
	if pid, ok := lookup("WATCHDOG_PID"); !ok || pid == strconv.Itoa(os.Getpid()) {
		text, _ := lookup("WATCHDOG_USEC")
		if usec, err := strconv.ParseInt(text, 10, 63); err == nil && usec > 0 {
			n.watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return n, nil
}

// Watchdog is how often systemd wants to hear that the process lives; zero if it does not.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready says that the process serves, or serves again after [Notifier.Reloading].
func (n *Notifier) Ready(status string) { n.send("READY=1", "STATUS="+status) }

// Status says in a line how the process is doing.
func (n *Notifier) Status(status string) { n.send("STATUS=" + status) }

// Reloading says that the process reads its config; Ready follows.
func (n *Notifier) Reloading() {
	n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic().Microseconds(), 10))
}

// Stopping says that the process ends.
func (n *Notifier) Stopping(status string) { n.send("STOPPING=1", "STATUS="+status) }

// Alive is what the watchdog wants to hear.
func (n *Notifier) Alive() { n.send("WATCHDOG=1") }

// MainPID says that another process is the service now. Only the one that was may say so.
func (n *Notifier) MainPID(pid int) { n.send("MAINPID=" + strconv.Itoa(pid)) }

// sendTimeout bounds the telling: a manager that does not read is not to hold up a node.
const sendTimeout = time.Second

func (n *Notifier) send(lines ...string) {
	if n == nil {
		return
	}
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(line, "\n", " ")
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, _ = n.conn.Write([]byte(strings.Join(lines, "\n"))) // nobody else could be told
}

// Close ends the telling.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}
