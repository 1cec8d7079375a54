package state_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/state"
)

// The test binary is also the writer that is killed.
const writerEnv = "FAIRLEAD_STATE_TEST_WRITER"

func TestMain(m *testing.M) {
	switch dir := os.Getenv(writerEnv); {
	case strings.HasPrefix(dir, "naive:"):
		fmt.Fprintln(os.Stderr, writeNaively(strings.TrimPrefix(dir, "naive:")))
	case dir != "":
		fmt.Fprintln(os.Stderr, write(dir))
	default:
		os.Exit(m.Run())
	}
	os.Exit(1)
}

// number is the value and the record that a writer writes as its nth: so long that it
// spans pages, and equal in all its parts.
func number(n int) []byte { return []byte(strings.Repeat(strconv.Itoa(n)+" ", 2000)) }

// write counts up in a key and in a log, and says each number when it is on disk.
func write(dir string) error {
	s, err := state.Open(dir, nil)
	if err != nil {
		return err
	}
	ctx := context.Background()
	v, err := s.Get(ctx, "n")
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	n, _ := strconv.Atoi(strings.SplitN(string(v.Data), " ", 2)[0])
	for {
		n++
		if v.Revision, err = s.Set(ctx, "n", number(n), v.Revision); err != nil {
			return err
		}
		if _, err := s.Append(ctx, "log", number(n), 10); err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// writeNaively is the broken twin: it writes over the old value.
func writeNaively(dir string) error {
	data := number(1)
	f, err := os.Create(filepath.Join(dir, "n"))
	if err != nil {
		return err
	}
	if _, err := f.Write(data[:len(data)/2+1]); err != nil {
		return err
	}
	fmt.Println(0)
	select {}
}

// killed runs a writer, kills it after it has said some lines, and returns the last.
func killed(t *testing.T, dir string, lines int) (said int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	for range lines {
		if !in.Scan() {
			t.Fatal("the writer has ended by itself")
		}
		said, _ = strconv.Atoi(in.Text())
	}
	_ = cmd.Process.Kill() // in the middle of the next write
	for in.Scan() {        // what it said before it died counts
		said, _ = strconv.Atoi(in.Text())
	}
	_ = cmd.Wait()
	return said
}

// whole says what a value that a writer left is, or what is wrong with it.
func whole(data []byte) (n int, err error) {
	n, err = strconv.Atoi(strings.SplitN(string(data), " ", 2)[0])
	if err == nil && string(data) != string(number(n)) {
		err = errors.New("torn")
	}
	return n, err
}

func TestKilledWhileWriting(t *testing.T) {
	dir := t.TempDir()
	for round := range 20 {
		said := killed(t, dir, 1+rand.IntN(20))
		s := open(t, dir)
		v, err := s.Get(t.Context(), "n")
		if err != nil {
			t.Fatal(err)
		}
		n, err := whole(v.Data)
		if err != nil || n != said && n != said+1 {
			t.Fatalf("round %d: the value is %d (%v) after %d was said; want that or the next", round, n, err, said)
		}
		last, err := s.Last(t.Context(), "log", 100)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range last {
			got, err := whole(r.Data)
			if err != nil || i == 0 && (got < said || got > n) || i > 0 && r.Seq != last[i-1].Seq-1 {
				t.Fatalf("round %d: record %d is %d (%v) after %d was said and %d written", round, r.Seq, got, err, said, n)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTornIsSeen is the broken twin: a writer that writes over the old value leaves
// what the check above calls torn.
func TestTornIsSeen(t *testing.T) {
	dir := t.TempDir()
	killed(t, "naive:"+dir, 1)
	data, err := os.ReadFile(filepath.Join(dir, "n"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := whole(data); err == nil {
		t.Errorf("half a value is taken for the whole %d", n)
	}
}
