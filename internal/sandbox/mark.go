package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// markEnv is the variable that every child gets and its descendants inherit.
const markEnv = "FAIRLEAD_CHILD"

// mark says whose a process is: NAMESPACE.PID.START.DATA of the node, and /N of the child.
type mark struct {
	node  string
	child uint64
}

// nodeMark is the mark of the node that this process is, with a data directory.
// The namespace keeps apart what has the same process ids in a container, the time
// of start what has them later.
func nodeMark(data string) (string, error) {
	ns, pid, start, err := identity()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s.%d.%d.%s", ns, pid, start, dataHash(data)), nil
}

func dataHash(data string) string {
	if abs, err := filepath.Abs(data); err == nil {
		data = abs
	}
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:6])
}

func (m mark) String() string { return m.node + "/" + strconv.FormatUint(m.child, 10) }

func parseMark(s string) (mark, bool) {
	node, n, ok := strings.Cut(s, "/")
	child, err := strconv.ParseUint(n, 10, 64)
	if !ok || err != nil || strings.Count(node, ".") != 3 {
		return mark{}, false
	}
	return mark{node, child}, true
}

// stale reports whether a node of the same data directory that is no more has left
// this mark. What cannot be told from here is not stale.
func (m mark) stale(own string) bool {
	theirs, ours := strings.Split(m.node, "."), strings.Split(own, ".")
	if len(theirs) != 4 || len(ours) != 4 || theirs[0] != ours[0] || theirs[3] != ours[3] || m.node == own {
		return false
	}
	pid, err := strconv.Atoi(theirs[1])
	start, err2 := strconv.ParseUint(theirs[2], 10, 64)
	return err == nil && err2 == nil && !runs(pid, start)
}
