package stdio_test

import (
	"bufio"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

// BenchmarkServe measures the server alone: the client writes prepared lines and counts answers.
func BenchmarkServe(b *testing.B) {
	for _, window := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d in flight", window), func(b *testing.B) {
			inR, inW, err := os.Pipe()
			if err != nil {
				b.Fatal(err)
			}
			outR, outW, err := os.Pipe()
			if err != nil {
				b.Fatal(err)
			}
			served := make(chan error, 1)
			go func() {
				served <- stdio.ServeConn(b.Context(), fixture{}, inR, outW, &stdio.ServeOptions{Grace: time.Second})
				outW.Close()
			}()
			answers := bufio.NewReaderSize(outR, 64<<10)
			b.ReportAllocs()
			var lines []byte
			for left := b.N; left > 0; {
				n := min(left, window)
				left -= n
				lines = lines[:0]
				for id := range n {
					lines = fmt.Appendf(lines, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"},%s}}`+"\n", id, modernMeta)
				}
				if _, err := inW.Write(lines); err != nil {
					b.Fatal(err)
				}
				for range n {
					if _, err := answers.ReadSlice('\n'); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.StopTimer()
			inW.Close()
			if err := <-served; err != nil {
				b.Error(err)
			}
			inR.Close()
			outR.Close()
		})
	}
}
