package upstream

import (
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// saidBytes is where a line of a child is cut in the log.
	saidBytes = 4096
	// saidBurst lines of standard error may come at once, and saidEvery passes for each
	// further one: 20 a second.
	saidBurst = 100
	saidEvery = 50 * time.Millisecond
	// saidLast lines are kept for the end of the child.
	saidLast = 3
)

// said is what a child writes to its standard error. It is somebody else's text: made
// printable, cut, and let into the log only as fast as an operator could want to read
// it. stderr is called from one goroutine, lastWords after it.
type said struct {
	log     *slog.Logger
	total   *atomic.Uint64 // dropped, by all children of the upstream
	now     func() time.Time
	next    time.Time // when the bucket of lines will be empty
	dropped int       // since the last line that was logged
	last    []string
}

func newSaid(log *slog.Logger, total *atomic.Uint64) *said {
	return &said{log: log, total: total, now: time.Now}
}

// stderr takes a line of standard error.
func (s *said) stderr(line []byte) {
	text := printable(line, saidBytes)
	if len(s.last) == saidLast {
		s.last = append(s.last[:0], s.last[1:]...)
	}
	s.last = append(s.last, text)
	now := s.now()
	if s.next.Before(now) {
		s.next = now
	}
	if s.next.Sub(now) > saidBurst*saidEvery {
		s.dropped++
		s.total.Add(1)
		return
	}
	s.next = s.next.Add(saidEvery)
	if s.dropped > 0 {
		s.log.Warn("lines of standard error were dropped", "lines", s.dropped)
		s.dropped = 0
	}
	s.log.Debug("stderr", "line", text)
}

// printable makes a text of bytes of unknown origin: one line, without anything that
// acts on a terminal or turns the direction of writing, and cut.
func printable(line []byte, most int) string {
	cut := len(line) > most
	if cut {
		line = line[:most]
	}
	var b strings.Builder
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(line[0])|0x100, 16)[1:])
		case r == '\t' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		line = line[n:]
	}
	if cut {
		b.WriteString("...")
	}
	return b.String()
}

// lastWords logs what a child that has ended wrote last, which often says why. All
// that it has written has been taken by now.
func (s *said) lastWords() {
	if len(s.last) > 0 {
		s.log.Warn("last words of the child", "stderr", strings.Join(s.last, "\n"))
	}
}
