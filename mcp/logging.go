package mcp

// LogLevel is a severity of RFC 5424 (MCP 2026-07-28, server/utilities/logging).
//
// Deprecated in the protocol since 2026-07-28: log to stderr or use OpenTelemetry.
type LogLevel string

// The log levels, least severe first.
const (
	LogDebug     LogLevel = "debug"
	LogInfo      LogLevel = "info"
	LogNotice    LogLevel = "notice"
	LogWarning   LogLevel = "warning"
	LogError     LogLevel = "error"
	LogCritical  LogLevel = "critical"
	LogAlert     LogLevel = "alert"
	LogEmergency LogLevel = "emergency"
)

// severity orders the levels from 1; unknown levels are 0.
func (l LogLevel) severity() int {
	switch l {
	case LogDebug:
		return 1
	case LogInfo:
		return 2
	case LogNotice:
		return 3
	case LogWarning:
		return 4
	case LogError:
		return 5
	case LogCritical:
		return 6
	case LogAlert:
		return 7
	case LogEmergency:
		return 8
	}
	return 0
}

// Valid reports whether l is a level of the protocol.
func (l LogLevel) Valid() bool { return l.severity() > 0 }

// Reaches reports whether a message of level l is to be sent to who asked for
// messages from level floor on. An empty or unknown floor asks for none.
func (l LogLevel) Reaches(floor LogLevel) bool {
	return floor.severity() > 0 && l.severity() >= floor.severity()
}
