package legacy

import (
	"crypto/rand"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// A client may ask for a task where the handler answers at once: in 2026-07-28 the
// server decides. Then the session keeps the result, as a task that has ended.

const (
	// maxEnded bounds the results that a session keeps; the oldest is dropped.
	maxEnded = 16
	// maxEndedBytes bounds all of them.
	maxEndedBytes = 1 << 20
	// endedTTL is how long a client is told that one is kept.
	endedTTL = 10 * time.Minute
)

// ended is a task that was over when it was made.
type ended struct {
	task   mcp.Task
	body   []byte // the task as the extension has it
	result []byte
}

// keepEnded makes a task of a result. It reports false if that is too large to keep.
func (s *Session) keepEnded(result []byte) ([]byte, bool) {
	if len(result) > maxEndedBytes {
		return nil, false
	}
	now, ttl := time.Now().UTC(), endedTTL.Milliseconds()
	e := &ended{
		task:   mcp.Task{ID: "ended-" + rand.Text(), Status: mcp.TaskCompleted, CreatedAt: now, LastUpdatedAt: now, TTLMs: &ttl, Result: append([]byte(nil), result...)},
		result: append([]byte(nil), result...),
	}
	at := jsonrpc.AppendString(nil, now.Format(time.RFC3339Nano))
	e.body = jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "taskId", Value: jsonrpc.AppendString(nil, e.task.ID)},
		jsonrpc.Member{Key: "createdAt", Value: at}, jsonrpc.Member{Key: "lastUpdatedAt", Value: at},
		jsonrpc.Member{Key: "ttlMs", Value: []byte("600000")}, jsonrpc.Member{Key: "pollIntervalMs", Value: []byte("1000")})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, e)
	for size := 0; ; size = 0 {
		for _, e := range s.ended {
			size += len(e.result)
		}
		if len(s.ended) <= maxEnded && size <= maxEndedBytes {
			break
		}
		s.ended = s.ended[1:]
	}
	begun := e.task
	begun.Status = mcp.TaskWorking // as all begin (MCP 2025-11-25, basic/utilities/tasks, Task Status Lifecycle)
	return related([]byte(`{"task":`+string(oldTask(e.body, &begun))+`}`), e.task.ID), true
}

// endedTask returns a task of the session's own, or nil.
func (s *Session) endedTask(id string) *ended {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.ended {
		if e.task.ID == id {
			return e
		}
	}
	return nil
}
