// Login lists the tools of a remote MCP server that wants a login. A person logs in
// with a browser; a job has a client id and a secret in the environment.
//
//	login https://mcp.example.com/mcp
//	CLIENT_ID=job CLIENT_SECRET=... ISSUER=https://login.example.com login https://mcp.example.com/mcp
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/oauth"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // a person may take a while
	defer cancel()
	if len(os.Args) != 2 {
		log.Fatal("usage: login URL")
	}
	opts, err := person(ctx)
	if id := os.Getenv("CLIENT_ID"); id != "" {
		opts, err = job(os.Getenv("ISSUER"), id, os.Getenv("CLIENT_SECRET")), nil
	}
	if err == nil {
		err = list(ctx, os.Stdout, os.Args[1], opts)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// person logs in once; the next run finds the token.
func person(ctx context.Context) (*oauth.Options, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return nil, err
	}
	store, err := oauth.OpenFileStore(ctx, filepath.Join(dir, "login-example"), nil)
	if err != nil {
		return nil, err
	}
	browser, err := oauth.ListenLoopback(
		func(url string) { fmt.Fprintln(os.Stderr, "Log in at", url) },
		&oauth.LoopbackOptions{Open: oauth.OpenBrowser})
	if err != nil {
		return nil, err
	}
	return &oauth.Options{Authorize: browser.Authorize, RedirectURI: browser.RedirectURI(), Store: store}, nil
}

// job has a client of its own at one authorization server.
func job(issuer, id, secret string) *oauth.Options {
	return &oauth.Options{
		Flow:          oauth.ClientCredentials{},
		Registrations: []oauth.Registration{{Issuer: issuer, ClientID: id, ClientSecret: secret}},
	}
}

func list(ctx context.Context, w io.Writer, url string, opts *oauth.Options) error {
	authorized := &http.Client{Transport: oauth.NewTransport(url, opts)}
	remote := streamhttp.NewClient(url, &streamhttp.ClientOptions{HTTPClient: authorized})
	defer func() { _ = remote.Close(ctx) }()
	tools, err := mcp.NewClient("login-example", "1.0.0", remote, nil).ListTools(ctx)
	var missing *oauth.ScopeError
	switch {
	case errors.As(err, &missing):
		return fmt.Errorf("you may not do this: %w", err)
	case err != nil:
		return err
	}
	for _, t := range tools {
		fmt.Fprintln(w, t.Name)
	}
	return nil
}
