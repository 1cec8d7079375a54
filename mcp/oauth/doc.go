// Package oauth is the client side of MCP authorization, in every revision from
// 2025-03-26 on.
//
// A [Transport] goes below an MCP client. It finds out who issues tokens for the
// server, registers, sends the user to log in, and keeps the token fresh:
//
//	login, err := oauth.ListenLoopback(func(url string) { fmt.Println("Log in at", url) }, nil)
//	t := oauth.NewTransport(url, &oauth.Options{
//		RedirectURI: login.RedirectURI(),
//		Authorize:   login.Authorize,
//		Store:       store,
//	})
//	c := streamhttp.NewClient(url, &streamhttp.ClientOptions{HTTPClient: &http.Client{Transport: t}})
//
// Programs without a user set Options.Flow to one of the other grants.
//
// What the server says is not trusted: metadata must be of the resource and the
// issuer that were asked for, tokens go to the server's own origin only and never
// over a redirect, credentials of one authorization server never to another, and
// everything that is read, tried or remembered has a bound.
package oauth
