package streamhttp

// Inside the package, since where messages and credentials go is decided by a
// function that no caller sees.

import (
	"net/url"
	"testing"
)

// FuzzEndpoint checks that whatever endpoint a server names, messages go to its origin.
func FuzzEndpoint(f *testing.F) {
	for _, seed := range []string{
		"/messages?session=1", "messages", "?session=1", "", "//evil.example/x", "https://x.example@evil.example/",
		"https://x.example:443/", "HTTPS://X.EXAMPLE/m", "http://x.example/", `\\evil.example\m`, "/\\evil.example", "https:evil.example", "#x", "\x00",
	} {
		f.Add(seed)
	}
	c := NewClient("https://user:pass@x.example/base/sse?key=1", nil)
	f.Fuzz(func(t *testing.T, data string) {
		to, err := c.postURL([]byte(data))
		if err != nil {
			if to != "" {
				t.Errorf("an error and %q", to)
			}
			return
		}
		u, err := url.Parse(to)
		if err != nil || u.Scheme != "https" || u.Host != "x.example" || u.User.String() != "user:pass" {
			t.Errorf("endpoint %q leads to %q, %v", data, to, err)
		}
	})
}
