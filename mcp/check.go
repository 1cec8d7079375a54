package mcp

import (
	"errors"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// ErrSchema reports a schema that cannot be used: it is not valid in its dialect,
// refers to something outside, or is too large.
var ErrSchema = errors.New("mcp: not a usable JSON schema")

// CheckValue checks a raw JSON value against a JSON schema, as a server checks the
// arguments of a tool (MCP 2026-07-28, basic/index, JSON Schema Usage). An error
// that is not ErrSchema says what is wrong with the value, for a person or model to read.
func CheckValue(schema, value []byte) error {
	v, err := compileHandwritten(schema)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSchema, err)
	}
	if err := jsonrpc.Valid(value, nil); err != nil {
		return err
	}
	if _, found := v.check(value, false); len(found) > 0 {
		return errors.New(string(appendViolations(nil, "value", found)))
	}
	return nil
}
