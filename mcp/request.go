package mcp

import "bytes"

// Request is one request, in the form of revision 2026-07-28 whatever the
// caller's revision is. Its bytes have passed the strict scan of package jsonrpc.
type Request struct {
	// Method is the method's name, such as "tools/call".
	Method string
	// Name is params.name of tools/call and prompts/get, params.uri of
	// resources/read, or params.taskId of tasks/get, tasks/update and
	// tasks/cancel, decoded. Other methods leave it empty.
	Name string
	// Params is the params object as it came, _meta included, or nil. For what
	// _meta says read Meta: a session-ful caller's revision, capabilities and
	// log level stand there and not in Params.
	Params []byte
	// Arguments is params.arguments of tools/call and prompts/get: an object or nil.
	Arguments []byte
	// Meta is what the request says about itself.
	Meta Meta
	// ID is the raw text of the caller's request id on its hop. It is for logs;
	// it is unique neither among callers nor in time.
	ID []byte
	// Principal is who calls, as the transport has verified it.
	Principal Principal
	// Session is the session that the request came in, or nil: in 2026-07-28 each
	// request stands alone.
	Session *Session
	// Header holds the HTTP header of a request that came with one in a revision
	// that mirrors parameters (2026-07-28), in canonical form. It is nil for
	// other transports and older revisions, which have no parameters to check.
	Header map[string][]string
}

// Meta is the metadata of one request (MCP 2026-07-28, basic/index, _meta).
// Slices are raw JSON; nil means absent.
type Meta struct {
	// Version is the revision that the caller speaks. It may be an old one.
	Version Version
	// ClientInfo is the caller's Implementation object. It is never used for decisions.
	ClientInfo []byte
	// Capabilities is the caller's ClientCapabilities object.
	Capabilities []byte
	// ProgressToken is the raw token, a string or an integer.
	ProgressToken []byte
	// LogLevel is the least severe level that the caller wants; empty means no messages.
	LogLevel LogLevel
	// Raw is the whole _meta object as it came, for keys that are not above, but
	// without trace context that is not valid (see [Trace]).
	Raw []byte
}

// Principal is who makes a request, verified by the transport. The zero
// Principal is anonymous. Principals are comparable.
type Principal struct {
	Issuer  string // who vouches: an issuer URL, or "token" for static tokens
	Subject string // who it is, unique for the issuer
	Client  string // the client program that acts for the subject, if known
}

// Anonymous reports whether nothing is known of the principal.
func (p Principal) Anonymous() bool { return p == Principal{} }

// Clone returns a copy of r that shares no bytes with it.
func (r *Request) Clone() *Request {
	c := *r
	c.Params = bytes.Clone(r.Params)
	c.Arguments = bytes.Clone(r.Arguments)
	c.ID = bytes.Clone(r.ID)
	c.Meta.ClientInfo = bytes.Clone(r.Meta.ClientInfo)
	c.Meta.Capabilities = bytes.Clone(r.Meta.Capabilities)
	c.Meta.ProgressToken = bytes.Clone(r.Meta.ProgressToken)
	c.Meta.Raw = bytes.Clone(r.Meta.Raw)
	if r.Header != nil {
		c.Header = make(map[string][]string, len(r.Header))
		for k, v := range r.Header {
			c.Header[k] = append([]string(nil), v...)
		}
	}
	return &c
}
