package main_test

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// build builds an example and returns its path.
func build(t *testing.T, name string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", bin, "../"+name).CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", name, err, out)
	}
	return bin
}

// TestExamples runs the client against the two servers, over both transports.
func TestExamples(t *testing.T) {
	client, echo := build(t, "client"), build(t, "echo")
	url := serve(t, echo)
	for _, c := range []struct {
		name   string
		target string
		call   []string
		want   string
	}{
		{"hello", build(t, "hello"), []string{"-call", "greet", "-args", `{"name":"Ada"}`}, "greet\tSay hello\nHello, Ada\n"},
		{"echo over stdio", echo, []string{"-call", "echo", "-args", `{"text":"hi"}`}, "echo\tSay the text again\nadd\tAdd two numbers\nhi\n"},
		{"echo over HTTP", url, []string{"-call", "echo", "-args", `{"text":"hi"}`}, "echo\tSay the text again\nadd\tAdd two numbers\nhi\n"},
		{"add over HTTP", url, []string{"-call", "add", "-args", `{"a":1,"b":2}`}, "echo\tSay the text again\nadd\tAdd two numbers\n{\"sum\":3}\n"},
		{"only a list", url, nil, "echo\tSay the text again\nadd\tAdd two numbers\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := exec.Command(client, append(c.call, c.target)...).Output()
			if err != nil {
				t.Fatal(err)
			}
			if string(out) != c.want {
				t.Errorf("got %q, want %q", out, c.want)
			}
		})
	}
	if err := exec.Command(client).Run(); err == nil {
		t.Error("the client without a server succeeds")
	}
}

// TestAsks answers what the book shop asks.
func TestAsks(t *testing.T) {
	client, tour := build(t, "client"), build(t, "tour")
	for _, c := range []struct{ name, input, want string }{
		{"filled in", "1 Main Street\nexpress\n", "express delivery to 1 Main Street"},
		{"turned away", "", "is dropped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(client, "-call", "order", "-args", `{"isbn":"978-0"}`, tour)
			cmd.Stdin = strings.NewReader(c.input)
			out, err := cmd.Output()
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("got %q, %v; want %q", out, err, c.want)
			}
		})
	}
}

// serve runs echo over HTTP until the test ends, and returns its URL.
func serve(t *testing.T, bin string) string {
	t.Helper()
	cmd := exec.Command(bin, "-addr", "127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("echo after SIGTERM: %v", err)
		}
	})
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, url, ok := strings.Cut(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("echo prints %q", line)
	}
	return url
}
