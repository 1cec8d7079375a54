package stdio

import "os"

// pollable returns f: standard streams cannot be polled here.
func pollable(f *os.File) *os.File { return f }
