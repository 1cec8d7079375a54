package mcp

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// Call is one request as its handler sees it. It is safe for concurrent use and
// sends nothing once the handler has returned.
type Call struct {
	server *Server
	req    *Request
	sink   Sink

	mu       sync.Mutex
	ended    bool
	asked    bool    // a question has no answer yet
	progress float64 // the last one sent; -Inf before
	cache    Cache
	journal  *journal // what the handler was told before; nil until it asks
	broken   error    // why asking makes no sense any more
	task     *taskMode
}

func (s *Server) newCall(req *Request, sink Sink) *Call {
	return &Call{server: s, req: req, sink: sink, progress: math.Inf(-1)}
}

func (c *Call) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
}

// Request returns the request, whose bytes are valid until the handler returns.
func (c *Call) Request() *Request { return c.req }

// Principal returns who calls, as the transport has verified it.
func (c *Call) Principal() Principal { return c.req.Principal }

// ClientInfo returns what the client says that it is; zero if it does not say.
func (c *Call) ClientInfo() Implementation {
	var info Implementation
	if c.req.Meta.ClientInfo != nil {
		if err := json.Unmarshal(c.req.Meta.ClientInfo, &info); err != nil {
			return Implementation{} // it is for display only
		}
	}
	return info
}

// ClientCapabilities returns the caller's ClientCapabilities object, or nil.
func (c *Call) ClientCapabilities() Raw { return Raw(c.req.Meta.Capabilities) }

// SetCache says how long and by whom the result of resources/read may be kept.
func (c *Call) SetCache(hint Cache) {
	c.mu.Lock()
	c.cache = hint
	c.mu.Unlock()
}

// Progress reports progress to a caller that asked for it (MCP 2026-07-28,
// basic/patterns/progress). total zero means unknown. A report that does not
// exceed the last one is dropped, since progress must increase.
func (c *Call) Progress(progress, total float64, message string) error {
	if math.IsNaN(progress) || math.IsInf(progress, 0) || math.IsNaN(total) || math.IsInf(total, 0) {
		return errors.New("progress is not a finite number")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return ErrSinkClosed
	}
	if c.req.Meta.ProgressToken == nil || progress <= c.progress {
		return nil
	}
	c.progress = progress

	params := append([]byte(`{"progressToken":`), c.req.Meta.ProgressToken...)
	params = appendFloat(append(params, `,"progress":`...), progress)
	if total != 0 {
		params = appendFloat(append(params, `,"total":`...), total)
	}
	if message != "" {
		params = jsonrpc.AppendString(append(params, `,"message":`...), message)
	}
	// Sent under the lock: two reports that overtook each other would decrease.
	return c.sink.Notify(NewNotification(NotificationProgress, append(params, '}')))
}

// appendFloat appends a finite number as JSON has them.
func appendFloat(dst []byte, f float64) []byte {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// Log sends a log message to a caller that asked for messages of its level (MCP
// 2026-07-28, server/utilities/logging). logger may be empty; data is any value
// that marshals. It is an error on a server that has not declared logging.
//
// Deprecated in the protocol since 2026-07-28.
func (c *Call) Log(level LogLevel, logger string, data any) error {
	if !c.server.opts.Logging {
		return errors.New("log: the server has not declared logging")
	}
	if !level.Valid() {
		return fmt.Errorf("log: unknown level %q", level)
	}
	if !level.Reaches(c.req.Meta.LogLevel) {
		return nil
	}
	value, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	params := jsonrpc.AppendString([]byte(`{"level":`), level)
	if logger != "" {
		params = jsonrpc.AppendString(append(params, `,"logger":`...), logger)
	}
	params = append(append(append(params, `,"data":`...), value...), '}')
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return ErrSinkClosed
	}
	return c.sink.Notify(NewNotification(NotificationMessage, params))
}
