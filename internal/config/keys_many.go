package config

// manyKeys are the keys of one entry of upstreams about being one of many.
var manyKeys = []key{
	{
		path: "labels", form: formLabels, example: "[code]",
		doc:   "Words by which virtual servers choose this upstream, as label:WORD.",
		field: func(t *target) any { return &t.upstream.Labels },
	},
	{
		path: "max_result", form: formSize, defNote: "limits.body", example: "100KiB",
		doc:   "Largest result of a tool that is passed on, from 1KiB. What is more can be read for 10 minutes, by the same caller, as pages of a resource that the result links to. Structured content is passed on whole or not at all.",
		field: func(t *target) any { return &t.upstream.MaxResult },
	},
}
