package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

const authorizationURL = "https://as.example/authorize?state=s3&x=y"

type outcome struct {
	url string
	err error
}

// login runs Authorize and returns once the URL is shown.
func login(t *testing.T, ctx context.Context, opts *oauth.LoopbackOptions) (*oauth.Loopback, <-chan outcome) {
	t.Helper()
	shown := make(chan string, 2)
	l, err := oauth.ListenLoopback(func(u string) { shown <- u }, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, authorize(t, ctx, l, shown)
}

func authorize(t *testing.T, ctx context.Context, l *oauth.Loopback, shown <-chan string) <-chan outcome {
	t.Helper()
	done := make(chan outcome, 1)
	go func() {
		got, err := l.Authorize(ctx, authorizationURL)
		done <- outcome{got, err}
	}()
	select {
	case u := <-shown:
		if u != authorizationURL {
			t.Errorf("shown: %q", u)
		}
	case o := <-done: // over before it began
		done <- o
	}
	return done
}

func browse(t *testing.T, method, u, host string) (status int, body string, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data), res.Header
}

// TestLoopbackTakesOneAnswer: what any page or program can send does not end the
// login, and the answer does.
func TestLoopbackTakesOneAnswer(t *testing.T) {
	l, done := login(t, t.Context(), nil)
	redirect := l.RedirectURI()
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" || u.Port() == "" || u.Path != "/callback" {
		t.Fatalf("RedirectURI: %s", redirect)
	}
	origin := "http://" + u.Host
	refused := []struct {
		method, url, host string
		want              int
	}{
		{"GET", origin + "/", "", 404},
		{"GET", origin + "/callback/?code=c&state=s3", "", 404},
		{"GET", origin + "/favicon.ico", "", 404},
		{"POST", redirect + "?code=c&state=s3", "", 405},
		{"HEAD", redirect + "?code=c&state=s3", "", 405},
		{"OPTIONS", redirect + "?code=c&state=s3", "", 405},
		{"GET", redirect + "?code=c&state=s3", "evil.example", 421},
		{"GET", redirect + "?code=c&state=s3", "localhost:" + u.Port(), 421},
		{"GET", redirect + "?code=c&state=s3", "127.0.0.1", 421},
		{"GET", redirect + "?code=c", "", 400},
		{"GET", redirect + "?code=c&state=", "", 400},
		{"GET", redirect + "?code=c&state=S3", "", 400},
		{"GET", redirect + "?state=s3", "", 400},
		{"GET", redirect + "?code=c&state=s3&x=%zz", "", 400},
	}
	for _, r := range refused {
		if status, body, _ := browse(t, r.method, r.url, r.host); status != r.want || strings.Contains(body, "s3") {
			t.Errorf("%s %s at host %q: got %d %q, want %d", r.method, r.url, r.host, status, body, r.want)
		}
	}
	select {
	case o := <-done:
		t.Fatalf("Authorize ended: %+v", o)
	default:
	}
	status, body, header := browse(t, "GET", redirect+"?code=c%20d&state=s3&iss=https%3A%2F%2Fas.example", "")
	if status != 200 || !strings.Contains(body, "You can close this page") || strings.Contains(body, "c d") {
		t.Errorf("the answer: got %d %q", status, body)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if o := <-done; o.err != nil || o.url != redirect+"?code=c%20d&state=s3&iss=https%3A%2F%2Fas.example" {
		t.Errorf("Authorize: got %+v", o)
	}
	if c, err := net.Dial("tcp", u.Host); err == nil {
		_ = c.Close()
		t.Error("it still listens after the answer")
	}
}

func TestLoopbackBringsRefusals(t *testing.T) {
	l, done := login(t, t.Context(), &oauth.LoopbackOptions{RedirectURI: "http://localhost/deep/path"})
	if !strings.HasPrefix(l.RedirectURI(), "http://localhost:") || !strings.HasSuffix(l.RedirectURI(), "/deep/path") {
		t.Fatalf("RedirectURI: %s", l.RedirectURI())
	}
	browse(t, "GET", l.RedirectURI()+"?error=access_denied&state=s3", "")
	if o := <-done; o.err != nil || o.url != l.RedirectURI()+"?error=access_denied&state=s3" {
		t.Errorf("Authorize: got %+v", o)
	}
}

// TestLoopbackAgain: a second login, such as a step-up, has the same redirect URI.
func TestLoopbackAgain(t *testing.T) {
	shown := make(chan string, 1)
	l, err := oauth.ListenLoopback(func(u string) { shown <- u }, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		done := authorize(t, t.Context(), l, shown)
		browse(t, "GET", l.RedirectURI()+"?code=c&state=s3", "")
		if o := <-done; o.err != nil {
			t.Fatal(o.err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestLoopbackGivesUp(t *testing.T) {
	_, done := login(t, t.Context(), &oauth.LoopbackOptions{Timeout: time.Nanosecond})
	if o := <-done; o.err == nil || !strings.Contains(o.err.Error(), "nobody logged in within 1ns") {
		t.Errorf("after the timeout: got %+v", o)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	_, done = login(t, ctx, nil)
	cancel(errors.New("the user is gone"))
	if o := <-done; o.err == nil || !strings.Contains(o.err.Error(), "the user is gone") {
		t.Errorf("after the end of the context: got %+v", o)
	}
}

func TestLoopbackRefusesURLs(t *testing.T) {
	for _, redirect := range []string{"https://127.0.0.1/cb", "http://example.com/cb", "http://127.0.0.1/cb?x=y", "http://0.0.0.0/cb", "file:///cb", "myapp:cb"} {
		if l, err := oauth.ListenLoopback(func(string) {}, &oauth.LoopbackOptions{RedirectURI: redirect}); err == nil {
			_ = l.Close()
			t.Errorf("redirect URI %s is taken", redirect)
		}
	}
	l, err := oauth.ListenLoopback(func(u string) { t.Errorf("shown: %s", u) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, u := range append(badURLs, "https://as.example/authorize", "https://as.example/authorize?state=") {
		if got, err := l.Authorize(t.Context(), u); err == nil {
			t.Errorf("Authorize(%q): got %s", u, got)
		}
	}
}

var badURLs = []string{
	"javascript:alert(1)?state=1", "file:///etc/passwd?state=1", "--incognito", "-a?state=1", "http://as.example/?state=1",
	"data:text/html,x?state=1", "calc.exe", "", "https:///x?state=1", "https://u:p@as.example/?state=1", "\\\\host\\share", "ftp://as.example/?state=1",
}

// TestOpenBrowserUsesNoShell puts a program of this test in place of the one that
// opens browsers, and looks at its arguments.
func TestOpenBrowserUsesNoShell(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the program that opens browsers is xdg-open on Linux only")
	}
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe") // a reader waits for the writer
	if err := exec.Command("mkfifo", pipe).Run(); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' \"$@\" > '%s'\n", pipe)
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, u := range badURLs {
		if err := oauth.OpenBrowser(u); err == nil {
			t.Errorf("OpenBrowser(%q): no error", u)
		}
	}
	canary := filepath.Join(dir, "canary")
	hostile := "https://as.example/a$(touch " + canary + ")`touch " + canary + "`;touch " + canary + "|&'\"<>?state=$HOME"
	if err := oauth.OpenBrowser(hostile); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(pipe)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(hostile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != u.String()+"\n" || strings.Count(u.String(), " ") != 0 {
		t.Errorf("arguments: %q, want one: %q", got, u.String())
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("a shell ran the URL")
	}
}
