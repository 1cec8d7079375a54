// Package gateway makes many upstreams one server: their names, lists,
// subscriptions and handles, and the pipeline that each call passes.
//
// It owns which upstream a call goes to and what the caller may learn. It does
// not own connections; those are package upstream's. [Gateway.Root] serves all
// upstreams as one, [Gateway.One] serves one under its own names.
//
//	g := gateway.New(upstreams, &gateway.Options{Name: "fairlead", Version: "1.0.0"})
//	defer g.Close()
//	handler := streamhttp.NewHandler(g.Root(), nil)
package gateway
