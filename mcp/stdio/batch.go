package stdio

import (
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// maxBatch bounds the messages of one batch.
const maxBatch = 50

// batch collects the responses to a JSON-RPC batch, which only revision
// 2025-03-26 has. A nil *batch belongs to a message outside of one.
type batch struct {
	mu   sync.Mutex
	left int // responses to come, and one for the reader itself
	out  []byte
}

// takeBatch handles the messages of a batch. What is wrong with one of them is
// answered at once and alone.
func (c *conn) takeBatch(line []byte) {
	if err := jsonrpc.Valid(line, c.opts.Limits); err != nil {
		c.refuse(nil, jsonrpc.CodeParseError, "Invalid batch: %v", err)
		return
	}
	n := 0
	for range jsonrpc.Elements(line) {
		n++
	}
	if n == 0 || n > maxBatch {
		c.refuse(nil, jsonrpc.CodeInvalidRequest, "A batch has 1 to %d messages", maxBatch)
		return
	}
	b := &batch{left: n + 1}
	for message := range jsonrpc.Elements(line) {
		if !c.take(message, b) {
			b.answer(nil, false) // never the last: the reader's own is still to come
		}
	}
	if done := b.answer(nil, false); done != nil {
		c.write(done)
	}
}

// answer counts one message as done, with or without a response. The last one
// returns the batch's response, nil if there is nothing to respond.
func (b *batch) answer(response []byte, ok bool) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		if b.out == nil {
			b.out = []byte{'['}
		} else {
			b.out = append(b.out, ',')
		}
		b.out = append(b.out, response...)
	}
	if b.left--; b.left > 0 || b.out == nil {
		return nil
	}
	return append(b.out, ']')
}
