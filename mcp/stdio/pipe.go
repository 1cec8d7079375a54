package stdio

import (
	"io"
	"sync"
)

// pipePeer is a server at the other end of a pair of pipes, of which only the
// ends in our hands can be closed.
type pipePeer struct {
	in    io.ReadCloser
	out   io.WriteCloser
	once  sync.Once
	ended chan struct{} // closed when in has given an error
}

// watch returns in, noting its end.
func (p *pipePeer) watch(in io.Reader) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		n, err := in.Read(b)
		if err != nil {
			p.once.Do(func() { close(p.ended) })
		}
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func (p *pipePeer) gone() <-chan struct{} { return p.ended }
func (p *pipePeer) terminate()            { p.release() }
func (p *pipePeer) status() string        { return "" }

func (p *pipePeer) kill() {
	p.release()
	p.once.Do(func() { close(p.ended) }) // a reader that Close does not wake is not waited for
}

func (p *pipePeer) release() {
	p.in.Close()
	p.out.Close()
}
