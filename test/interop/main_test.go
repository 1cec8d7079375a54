package interop

import (
	"os"
	"testing"

	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

func TestMain(m *testing.M) {
	peers.RunWrapped() // this program is also what stands between a node and a server
	os.Exit(m.Run())
}
