package handover

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
)

// Message is what one process tells the other. One field is set, with Go also Draining.
type Message struct {
	Hello    *Hello    `json:"hello,omitzero"`    // first, from the running process
	Ready    *Ready    `json:"ready,omitzero"`    // the new process can take over
	Failed   string    `json:"failed,omitzero"`   // it cannot, and ends
	Go       bool      `json:"go,omitzero"`       // it has to: nobody else accepts any more
	Draining *Draining `json:"draining,omitzero"` // from the process that was replaced, now and then
	End      bool      `json:"end,omitzero"`      // from the new process: drain no longer
	Ended    bool      `json:"ended,omitzero"`    // from the process that was replaced: it takes no more requests
}

// Hello says what the running process is and hands over.
type Hello struct {
	PID       int               `json:"pid"`
	Relay     string            `json:"relay"`     // socket for requests that belong to it
	Addresses map[string]string `json:"addresses"` // name of a listener -> what the config said when it was opened
	Keys      []Key             `json:"keys"`      // seal handles, the newest first
	Serving   []string          `json:"serving"`   // upstreams that are ready there
}

// Key is a sealing key.
type Key struct {
	ID     byte   `json:"id"`
	Secret []byte `json:"secret"`
}

// Ready says where the new process is to be found.
type Ready struct {
	PID     int    `json:"pid"`
	Version string `json:"version"`
	Relay   string `json:"relay"` // socket for requests that reach the one that was replaced
	Admin   string `json:"admin"` // admin socket
}

// Draining says what a process that was replaced still has.
type Draining struct {
	Sessions int       `json:"sessions"`
	Calls    int       `json:"calls"`
	Until    time.Time `json:"until"`
}

const (
	// maxLine bounds a message, in bytes: names of upstreams, of which there may be thousands.
	maxLine = 1 << 20
	// sendTimeout bounds the sending of one. They are small, and the other side reads.
	sendTimeout = 5 * time.Second
)

// Conn is the connection between the two processes. Send may be called concurrently.
type Conn struct {
	conn   net.Conn
	reader *bufio.Reader

	mu sync.Mutex // held while a message is written
}

func newConn(c net.Conn) *Conn { return &Conn{conn: c, reader: bufio.NewReader(c)} }

// Send sends one message.
func (c *Conn) Send(m Message) error {
	line, err := json.Marshal(&m)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, err = c.conn.Write(append(line, '\n'))
	return err
}

// Receive waits for the next message. It returns io.EOF when the other process has
// gone, and ends with Close.
func (c *Conn) Receive() (m Message, err error) {
	var line []byte
	for {
		part, err := c.reader.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return m, errors.New("the other process sends more than a message")
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return m, err
		}
		break
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return m, fmt.Errorf("the other process sends no message: %w", err)
	}
	return m, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// gone reports whether err says that the other process has ended.
func gone(err error) bool {
	for _, sign := range []error{io.EOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}
