package sandbox

// These tests are inside because control groups of version 2 with controllers exist
// on other machines than those that test: what is read and written is checked here.

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFindPlaces(t *testing.T) {
	compare := cmp.AllowUnexported(place{})
	for _, tt := range []struct {
		name, own, mounts string
		want              []place
	}{
		{
			"systemd, version 2", "0::/system.slice/fairlead.service/node\n",
			"31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
			[]place{{"/sys/fs/cgroup/system.slice/fairlead.service/node", true, []string{""}}},
		},
		{
			"a container without a namespace of groups", "0::/docker/abc/inner\n",
			"31 23 0:28 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			[]place{{"/sys/fs/cgroup/inner", true, []string{""}}},
		},
		{
			"both versions", "4:memory:/a\n1:cpu,cpuacct:/\n0::/\n",
			"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
				"33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
				"34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			[]place{
				{"/sys/fs/cgroup/memory/a", false, []string{"memory"}},
				{"/sys/fs/cgroup/cpu,cpuacct", false, []string{"cpu", "cpuacct"}},
				{"/sys/fs/cgroup/unified", true, []string{""}},
			},
		},
		{"nothing mounted", "0::/x\n", "23 1 0:1 / / rw - ext4 /dev/vda rw\n", nil},
		{"mounted elsewhere", "0::/x\n", "31 23 0:28 /y /sys/fs/cgroup rw - cgroup2 cgroup rw\n", nil},
	} {
		if diff := cmp.Diff(tt.want, findPlaces(tt.own, tt.mounts), compare); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestSettings(t *testing.T) {
	l := &Limits{Memory: 1 << 20, Processes: 7, CPU: 1.5}
	compare := cmp.AllowUnexported(setting{})
	two := tree{unified: true, controllers: []string{"cpu", "memory", "pids"}}
	if diff := cmp.Diff([]setting{
		{"memory.max", "1048576", false},
		{"memory.swap.max", "0", true},
		{"memory.oom.group", "1", true},
		{"pids.max", "7", false},
		{"cpu.max", "150000 100000", false},
	}, two.values(l), compare); diff != "" {
		t.Errorf("version 2 (-want +got):\n%s", diff)
	}
	one := tree{controllers: []string{"memory"}}
	if diff := cmp.Diff([]setting{{"memory.limit_in_bytes", "1048576", false}, {"memory.memsw.limit_in_bytes", "1048576", true}}, one.values(l), compare); diff != "" {
		t.Errorf("version 1 (-want +got):\n%s", diff)
	}
}

func TestNews(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := group{dir: dir, unified: true}
	if ooms, refused := g.news(); ooms != 0 || refused != 0 {
		t.Errorf("of nothing %d, %d", ooms, refused)
	}
	write("memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n")
	write("pids.events", "max 5\n")
	if ooms, refused := g.news(); ooms != 2 || refused != 5 {
		t.Errorf("at first %d, %d", ooms, refused)
	}
	if ooms, refused := g.news(); ooms != 0 || refused != 0 {
		t.Errorf("again %d, %d", ooms, refused)
	}
}

// TestStale: only what a dead node of the same directory and namespace left is ended.
func TestStale(t *testing.T) {
	own, err := nodeMark(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ns, pid, start, err := identity()
	if err != nil {
		t.Fatal(err)
	}
	data := own[len(own)-12:]
	node := func(ns string, pid int, start uint64, data string) mark {
		return mark{node: ns + "." + itoa(uint64(pid)) + "." + itoa(start) + "." + data}
	}
	for _, tt := range []struct {
		name string
		m    mark
		want bool
	}{
		{"our own", mark{node: own}, false},
		{"the number is another process's now", node(ns, pid, start+1, data), true},
		{"nobody has the number", node(ns, 1<<30, 5, data), true},
		{"a living node", node(ns, 1, startOf(t, 1), data), false},
		{"of another directory", node(ns, 1<<30, 5, "0123456789ab"), false},
		{"of another namespace", node("1", 1<<30, 5, data), false},
		{"no mark at all", mark{node: "x"}, false},
	} {
		if got := tt.m.stale(own); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if m, ok := parseMark(own + "/12"); !ok || m.child != 12 || m.node != own {
		t.Errorf("parsed as %+v, %v", m, ok)
	}
	for _, bad := range []string{"", "/1", own, own + "/", own + "/x", "a.b/1"} {
		if m, ok := parseMark(bad); ok {
			t.Errorf("%q parsed as %+v", bad, m)
		}
	}
}

func startOf(t *testing.T, pid int) uint64 {
	t.Helper()
	p, err := stat(pid)
	if err != nil {
		t.Skip(err)
	}
	return p.start
}

func itoa(n uint64) string { return mark{"", n}.String()[1:] }
