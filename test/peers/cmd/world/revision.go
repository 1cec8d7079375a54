package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// newest is what clients of revisions with sessions offer.
const newest = "2025-11-25"

// speak runs a server as one of an older revision: initialize reaches it with that
// revision, whatever was offered, and it does not know server/discover. The server
// itself is as it is: only what it is asked for changes.
func speak(revision string, command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var writing sync.Mutex // of whole lines to stdout
	say := func(line []byte) error {
		writing.Lock()
		defer writing.Unlock()
		_, err := os.Stdout.Write(line)
		return err
	}
	go func() { // ends with stdin, and so with the client
		defer in.Close()
		lines := bufio.NewReader(os.Stdin)
		for {
			line, err := lines.ReadBytes('\n')
			if id, ok := discovers(line); ok {
				err = say(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"Method not found"}}`+"\n", id))
			} else if len(line) > 0 {
				_, err = in.Write(older(line, revision))
			}
			if err != nil {
				return
			}
		}
	}()
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 && say(line) != nil || err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	return cmd.Wait()
}

// older makes initialize ask for an older revision.
func older(message []byte, revision string) []byte {
	if !bytes.Contains(message, []byte(`"method":"initialize"`)) {
		return message
	}
	return bytes.Replace(message, []byte(newest), []byte(revision), 1)
}

// discovers returns the id of a request that old servers do not know.
func discovers(message []byte) (id json.RawMessage, ok bool) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	return m.ID, bytes.Contains(message, []byte("server/discover")) && json.Unmarshal(message, &m) == nil && m.Method == "server/discover"
}
