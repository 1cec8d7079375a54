//go:build !linux

package health

// Resources are known on Linux only.
func Resources(string) []Component { return nil }
