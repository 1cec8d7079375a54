package config

// ChildLimits bound the command of an upstream with everything that it starts.
// Zero fields are no limit, but for Core.
type ChildLimits struct {
	Memory    ByteSize
	Processes int     // processes and their threads
	CPU       float64 // of processors
	OpenFiles int     // of each process
	FileSize  ByteSize
	Core      ByteSize // zero writes no core dumps
}

// childKeys are those keys of an upstream that bound its command.
var childKeys = []key{
	{
		path: "limits.memory", form: formSize, def: "4GiB", example: "512MiB",
		doc:   "Memory of the command and all that it starts. Beyond it they are ended, and started again. The kernel holds them to it where the node may make control groups; elsewhere they are looked at every 2 s. \"fairlead status\" shows which.",
		field: func(t *target) any { return &t.upstream.Limits.Memory },
	},
	{
		path: "limits.processes", form: formCount, def: "2048", example: "64",
		doc:   "Processes and threads of the command and all that it starts. The kernel refuses more where the node may make control groups; elsewhere the command is ended, and started again.",
		field: func(t *target) any { return &t.upstream.Limits.Processes },
	},
	{
		path: "limits.cpu", form: formCPU, defNote: "no limit", example: "1.5",
		doc:   "Processors that the command and all that it starts may use, as a number such as 0.5 or 2. Only control groups can hold it.",
		field: func(t *target) any { return &t.upstream.Limits.CPU },
	},
	{
		path: "limits.open_files", form: formCount, defNote: "that of the node", example: "1024",
		doc:   "Files and connections that each process of the command may have open.",
		field: func(t *target) any { return &t.upstream.Limits.OpenFiles },
	},
	{
		path: "limits.file_size", form: formSize, defNote: "no limit", example: "1GiB",
		doc:   "Largest file that the command may write.",
		field: func(t *target) any { return &t.upstream.Limits.FileSize },
	},
	{
		path: "limits.core", form: formSize, defNote: "none are written", example: "100MiB",
		doc:   "Largest core dump of the command. Core dumps hold what was in memory, secrets too.",
		field: func(t *target) any { return &t.upstream.Limits.Core },
	},
	{
		path: "restart_after", form: formCount, defNote: "3", example: "6",
		doc:   "Probes in a row, one every 10 s, that the command may leave unanswered before it is ended and started again. While it works on calls that still have time it counts as busy, and is left alone.",
		field: func(t *target) any { return &t.upstream.RestartAfter },
	},
	{
		path: "setuid", form: formBool, defNote: "false", example: "true",
		doc:   "Whether programs that the command starts may gain privileges by their set-user-ID bit or file capabilities, as sudo and ping do.",
		field: func(t *target) any { return &t.upstream.Setuid },
	},
}
