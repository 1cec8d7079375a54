package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// The names by which the binary is called to be something else than itself. Nobody
// calls a program so by accident.
const (
	launcherName = "fairlead-exec"
	guardName    = "fairlead-guard"
)

// launcherReport is the descriptor on which the launcher says why it could not
// become the program. It closes by itself when that succeeds.
const launcherReport = 3

// A launcher is needed in every program that holds a sandbox: fairlead, programs
// that embed a node, test binaries. And it has to be quick: initialising all
// packages of a node takes longer than starting a small child. Therefore, and only
// therefore, this is done in an init function.
func init() {
	if len(os.Args) == 0 {
		return
	}
	switch os.Args[0] {
	case launcherName:
		runtime.LockOSThread() // some of what is set belongs to the thread
		err := launch(os.Args[1:])
		report(os.NewFile(launcherReport, "report"), err)
		os.Exit(127)
	case guardName:
		os.Exit(guard(os.Stdin, os.Args[1:]))
	}
}

// order is what the launcher is told, in its arguments.
type order struct {
	dir     string // empty means to stay
	cgroups []string
	limits  []rlimit
	setuid  bool // the program may gain privileges
	path    string
	argv    []string
}

// rlimit is one limit of setrlimit.
type rlimit struct {
	which int
	value uint64
}

func (o *order) encode() []string {
	args := []string{launcherName}
	if o.dir != "" {
		args = append(args, "dir="+o.dir)
	}
	for _, c := range o.cgroups {
		args = append(args, "cgroup="+c)
	}
	for _, l := range o.limits {
		args = append(args, fmt.Sprintf("rlimit=%d:%d", l.which, l.value))
	}
	if o.setuid {
		args = append(args, "setuid=yes")
	}
	return append(append(args, "--", o.path), o.argv...)
}

func decode(args []string) (*order, error) {
	o := &order{}
	for i, arg := range args {
		if arg == "--" && i+2 < len(args) {
			o.path, o.argv = args[i+1], args[i+2:]
			return o, nil
		}
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "dir":
			o.dir = value
		case "cgroup":
			o.cgroups = append(o.cgroups, value)
		case "setuid":
			o.setuid = true
		case "rlimit":
			which, amount, _ := strings.Cut(value, ":")
			w, err := strconv.Atoi(which)
			v, err2 := strconv.ParseUint(amount, 10, 64)
			if err != nil || err2 != nil {
				return nil, fmt.Errorf("bad order %q", arg)
			}
			o.limits = append(o.limits, rlimit{w, v})
		default:
			return nil, fmt.Errorf("bad order %q", arg)
		}
	}
	return nil, errors.New("no program given")
}

// launch makes this process the program. It returns only what went wrong.
func launch(args []string) error {
	o, err := decode(args)
	if err != nil {
		return err
	}
	for _, dir := range o.cgroups {
		if err := os.WriteFile(dir+"/cgroup.procs", []byte("0"), 0); err != nil {
			return err
		}
	}
	if o.dir != "" {
		if err := os.Chdir(o.dir); err != nil {
			return err
		}
	}
	for _, l := range o.limits {
		if err := setLimit(l); err != nil {
			return err
		}
	}
	if !o.setuid {
		if err := noNewPrivileges(); err != nil {
			return err
		}
	}
	if err := closeOnExec(launcherReport); err != nil {
		return err
	}
	return &fs.PathError{Op: "fork/exec", Path: o.path, Err: syscall.Exec(o.path, o.argv, os.Environ())}
}

// setLimit lowers both limits of a kind, or raises them as far as is allowed.
func setLimit(l rlimit) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(l.which, &now); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	want := rlimitOf(l.value)
	if want.Max > now.Max {
		want.Cur, want.Max = now.Max, now.Max
	}
	return os.NewSyscallError("setrlimit", syscall.Setrlimit(l.which, &want))
}

// report writes err so that failure can read it.
func report(w io.Writer, err error) {
	var pe *fs.PathError
	var no syscall.Errno
	switch {
	case errors.As(err, &pe) && errors.As(err, &no):
		fmt.Fprintf(w, "%d\x00%s\x00%s", int(no), pe.Op, pe.Path)
	default:
		fmt.Fprintf(w, "0\x00%v", err)
	}
}

// failure is the error that report has written; nil for nothing.
func failure(text string) error {
	if text == "" {
		return nil
	}
	parts := strings.SplitN(text, "\x00", 3)
	if no, err := strconv.Atoi(parts[0]); err == nil && no > 0 && len(parts) == 3 {
		// What package os/exec would say of a program that it starts itself.
		return &fs.PathError{Op: parts[1], Path: parts[2], Err: syscall.Errno(no)}
	}
	return errors.New("launcher: " + parts[len(parts)-1])
}
