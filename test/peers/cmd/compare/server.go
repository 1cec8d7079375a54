package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one running server process.
type server struct {
	cmd    *exec.Cmd
	addr   string // HTTP only
	dir    string // of a node; removed with it
	stdin  io.WriteCloser
	stdout *bufio.Reader
	lines  chan string // standard error, line by line
}

type memory struct {
	mallocs, bytes, inUse uint64
	goroutines            int
}

func start(bin, kind string, stdio bool) (*server, error) {
	args := []string{"-c", "0", bin, "-kind", kind}
	if kind == "typescript" {
		args = []string{"-c", "0", "../npm/node_modules/node/bin/node", "--expose-gc", "../npm/speed.mjs"}
	}
	if !stdio {
		args = append(args, "-addr", "127.0.0.1:0")
	}
	s := &server{cmd: exec.Command("taskset", args...), lines: make(chan string, 16)}
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.stdout = bufio.NewReaderSize(stdout, 64<<10)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process
		defer close(s.lines)
		for sc := bufio.NewScanner(stderr); sc.Scan(); {
			s.lines <- sc.Text()
		}
	}()
	if !stdio {
		line, err := s.wait("listening ")
		if err != nil {
			s.stop()
			return nil, err
		}
		s.addr = line
	}
	return s, nil
}

// wait returns the rest of the next line of standard error that starts with prefix.
func (s *server) wait(prefix string) (string, error) {
	deadline := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return "", fmt.Errorf("server ended before it said %q", prefix)
			}
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest, nil
			}
		case <-deadline:
			return "", fmt.Errorf("server did not say %q", prefix)
		}
	}
}

func (s *server) memory() (m memory, err error) {
	if err := s.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return m, err
	}
	line, err := s.wait("memory ")
	if err == nil {
		_, err = fmt.Sscan(line, &m.mallocs, &m.bytes, &m.inUse, &m.goroutines)
	}
	return m, err
}

// free has the process give memory that it does not use back to the kernel.
func (s *server) free() error {
	if err := s.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		return err
	}
	_, err := s.wait("freed")
	return err
}

// cpu is the user and system time of the process so far, from /proc, at the kernel's 10 ms resolution.
func (s *server) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func (s *server) stop() {
	_ = s.stdin.Close()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
