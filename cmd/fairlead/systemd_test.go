package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// manager is a service manager: the socket that NOTIFY_SOCKET names.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "fl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &manager{t: t, path: filepath.Join(dir, "notify")}
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.conn.Close() })
	return m
}

// told waits for a message with a line that starts so, and returns the message.
func (m *manager) told(prefix string) string {
	m.t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	buf := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatalf("the service manager is not told %s: %v", prefix, err)
		}
		if strings.Contains("\n"+string(buf[:n]), "\n"+prefix) {
			return string(buf[:n])
		}
	}
}

// queued takes what there is and reports whether a line of it starts so.
func (m *manager) queued(prefix string) (found bool) {
	_ = m.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	buf := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			return found
		}
		found = found || strings.Contains("\n"+string(buf[:n]), "\n"+prefix)
	}
}

func (m *manager) env(watchdog time.Duration) []string {
	return []string{"NOTIFY_SOCKET=" + m.path, "WATCHDOG_USEC=" + strconv.FormatInt(watchdog.Microseconds(), 10)}
}

func TestServiceManager(t *testing.T) {
	m := newManager(t)
	p := startBy(t, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, m.env(100*time.Millisecond)...) })
	if msg := m.told("READY=1"); !strings.Contains(msg, "STATUS=") {
		t.Errorf("ready: %q, want a status with it", msg)
	}
	m.told("WATCHDOG=1")
	m.told("STATUS=1 of 1 upstreams ready")

	p.signal(t, syscall.SIGHUP)
	if msg := m.told("RELOADING=1"); strings.Contains(msg, "MONOTONIC_USEC=0") || !strings.Contains(msg, "MONOTONIC_USEC=") {
		t.Errorf("reloading: %q, want the time", msg)
	}
	m.told("READY=1")

	pid := p.upgrade(t, adminapi.Upgrade{})
	m.told("MAINPID=" + strconv.Itoa(pid))
	m.told("READY=1")
	p.exit(t)
	m.queued("")
	m.told("WATCHDOG=1") // by the new process
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.told("STOPPING=1")
}

// TestWatchdogStops: a node that does not answer itself does not say that it lives.
func TestWatchdogStops(t *testing.T) {
	m := newManager(t)
	p := startBy(t, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, m.env(100*time.Millisecond)...) })
	m.told("WATCHDOG=1")
	// All connections that the admin socket allows: the node waits in its own line.
	for range 300 {
		c, err := net.Dial("unix", filepath.Join(p.dir, "admin.sock"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	failures := func() int { return strings.Count(p.log(), "does not answer itself") }
	eventually(t, "the watchdog to notice", func() bool { return failures() > 0 })
	m.queued("")
	seen := failures()
	eventually(t, "more of it", func() bool { return failures() >= seen+3 })
	if m.queued("WATCHDOG=1") {
		t.Error("the node says that it lives and does not answer itself")
	}
}

// activate has the command started with a listener, as systemd does.
func activate(t *testing.T, ln net.Listener, name, pid string) func(*exec.Cmd) {
	t.Helper()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return func(cmd *exec.Cmd) {
		shell, err := exec.LookPath("sh")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Args = shell, append([]string{"sh", "-c", "LISTEN_PID=" + pid + ` exec "$0" "$@"`}, cmd.Args...)
		cmd.ExtraFiles = []*os.File{f}
		cmd.Env = append(cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES="+name)
	}
}

func TestSocketActivation(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := startBy(t, activate(t, ln, "mcp", "$$"))
	if p.host() != ln.Addr().String() {
		t.Fatalf("the node listens on %s, want the socket of the system, %s", p.host(), ln.Addr())
	}
	before := childOf(t, p.client(t, "", streamhttp.EraModern, nil))
	p.upgrade(t, adminapi.Upgrade{})
	if after := childOf(t, p.client(t, "", streamhttp.EraModern, nil)); after == before {
		t.Error("the new process does not have the socket of the system")
	}
}

// TestActivationOfOthers: variables that name another process are not for this one.
func TestActivationOfOthers(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p := startBy(t, activate(t, ln, "mcp", "1"))
	if p.host() == ln.Addr().String() {
		t.Error("the node has taken a socket that is not its own")
	}
}

// TestActivationNeedsTokens: the rule for addresses holds for sockets of the system.
func TestActivationNeedsTokens(t *testing.T) {
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "serve", "--data", dir, "--admin", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), programEnv+"=1", "GORACE=atexit_sleep_ms=0")
	activate(t, ln, "mcp", "$$")(cmd)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "auth.tokens") {
		t.Errorf("serve: %v, %s; want it refused for want of auth.tokens", err, out)
	}
}

// unit is a unit file: section -> key -> values.
type unit map[string]map[string][]string

func parseUnit(t *testing.T, path string) unit {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u, section := unit{}, ""
	lines := bufio.NewScanner(f)
	for no := 1; lines.Scan(); no++ {
		line := strings.TrimSpace(lines.Text())
		key, value, isKey := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
			u[section] = map[string][]string{}
		case isKey && section != "" && key == strings.TrimSpace(key):
			u[section][key] = append(u[section][key], value)
		default:
			t.Errorf("%s:%d: neither section nor key: %s", path, no, line)
		}
	}
	return u
}

// TestUnits holds the unit files to what the program does.
func TestUnits(t *testing.T) {
	service := parseUnit(t, "../../deploy/systemd/fairlead.service")
	for key, want := range map[string]string{
		"Type": "notify", "NotifyAccess": "main", "KillMode": "mixed", "NoNewPrivileges": "yes", "ProtectSystem": "strict",
		"User": "fairlead", "StateDirectoryMode": "0700", "Delegate": "yes", "ExecReload": "/bin/kill -HUP $MAINPID",
	} {
		if got := service["Service"][key]; !slices.Equal(got, []string{want}) {
			t.Errorf("service: %s is %q, want %q", key, got, want)
		}
	}
	for key := range service["Service"] {
		if len(service["Service"][key]) != 1 {
			t.Errorf("service: %s is there %d times", key, len(service["Service"][key]))
		}
	}
	watchdog, err := time.ParseDuration(service["Service"]["WatchdogSec"][0])
	if err != nil || watchdog < 10*time.Second {
		t.Errorf("WatchdogSec: %v, %v; want time for a busy machine", watchdog, err)
	}
	stop, err := time.ParseDuration(service["Service"]["TimeoutStopSec"][0])
	if err != nil || stop < 45*time.Second { // shutdown_grace, and children that do not want to end
		t.Errorf("TimeoutStopSec: %v, %v; want more than shutdown_grace and the end of children", stop, err)
	}
	// The command is one that the program knows: it fails at the config, which is not there.
	args := strings.Fields(service["Service"]["ExecStart"][0])
	cmd := exec.Command(os.Args[0], args[1:]...)
	cmd.Env = append(os.Environ(), programEnv+"=1")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "/etc/fairlead/fairlead.yaml") || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v: %v, %s; want that it misses the config, and nothing else", args, err, out)
	}

	socket := parseUnit(t, "../../deploy/systemd/fairlead.socket")
	if got := fmt.Sprint(socket["Socket"]["FileDescriptorName"]); got != "[mcp]" {
		t.Errorf("socket: FileDescriptorName is %s, want mcp, by which the node finds it", got)
	}
	if host, _, err := net.SplitHostPort(socket["Socket"]["ListenStream"][0]); err != nil || !net.ParseIP(host).IsLoopback() {
		t.Errorf("socket: ListenStream is %q, want a loopback address: there are no tokens by default", socket["Socket"]["ListenStream"])
	}
}
