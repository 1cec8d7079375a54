package gateway

import (
	"context"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// parameters checks the headers that mirror a tool's arguments. It comes after
// authorise: whether they fit says something about the tool's schema.
func parameters(_ context.Context, c *call) (rule string, err error) {
	if c.req.Method != mcp.MethodCallTool || c.req.Header == nil {
		return "no mirrored parameters", nil
	}
	params, err := c.target.headers()
	if err != nil {
		// A client has to drop such a tool, so whoever calls it has no headers to check.
		return "annotations of the tool are not valid", nil
	}
	if params == nil {
		return "no mirrored parameters", nil
	}
	// A nil *mcp.Error in an error would not be nil.
	if e := params.Check(c.req.Header, c.req.Arguments); e != nil {
		return "header and body differ", e
	}
	return "headers match", nil
}
