// Inside the package: the bound on connections is too high to reach from outside.
package daemon

import (
	"errors"
	"net"
	"net/http"
	"testing"
)

func TestLimited(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newLimited(ln, 1, nil)
	accepted := make(chan net.Conn)
	failed := make(chan error, 1)
	go func() { // ends with l
		for {
			c, err := l.Accept()
			if err != nil {
				failed <- err
				return
			}
			accepted <- c
		}
	}()
	for range 2 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := <-accepted
	if len(l.slots) != 1 {
		t.Errorf("%d slots are taken, want 1", len(l.slots))
	}
	select {
	case <-accepted:
		t.Error("a second connection beyond the limit")
	default:
	}
	_ = first.Close()
	l.connState(first, http.StateActive) // frees nothing
	select {
	case <-accepted:
		t.Error("a second connection before the server has told the end of the first")
	default:
	}
	l.connState(first, http.StateClosed)
	second := <-accepted
	// The limit is reached again: Accept waits for a slot, and Close ends the wait.
	_ = l.Close()
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v, want net.ErrClosed", err)
	}
	_ = second.Close()
	l.connState(second, http.StateHijacked)
	if len(l.slots) != 0 {
		t.Errorf("%d slots are taken after all connections were closed", len(l.slots))
	}
}

// TestWithinDescriptors leaves descriptors for what matters more than new clients.
func TestWithinDescriptors(t *testing.T) {
	for _, tc := range []struct {
		descriptors uint64
		upstreams   int
		want        int
	}{
		{1 << 20, 20, maxConnections},
		{^uint64(0), 20, maxConnections},
		{1024, 2, 944},
		{256, 2, 176},
		{256, 50, 128},
		{1, 1, 1},
	} {
		if got := within(tc.descriptors, tc.upstreams); got != tc.want {
			t.Errorf("within(%d, %d) = %d, want %d", tc.descriptors, tc.upstreams, got, tc.want)
		}
	}
}
