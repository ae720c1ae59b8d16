package wire

import (
	"fmt"
	"path"
	"runtime"
	"strings"

	"refrain/talk"
)

// Listen, deferred by whatever the host calls, says a panic's last words and lets it go on, to the end of the instance.
// Without a voice it does nothing.
func Listen() {
	if !talk.On {
		return
	}
	if why := recover(); why != nil {
		talk.Log(talk.Error, "%s%v", place(), why)
		panic(why)
	}
}

// place is the line of the plugin that panicked; of what it called, when that is not known.
func place() string {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers[:])])
	panicked, found := false, ""
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		panicked = panicked || frame.Function == "runtime.gopanic"
		own := strings.HasPrefix(frame.Function, "main.")
		if panicked && (own || found == "" && !strings.HasPrefix(frame.Function, "runtime.")) {
			found = fmt.Sprintf("%s:%d: ", path.Base(frame.File), frame.Line)
		}
		if own && panicked {
			break
		}
	}
	return found
}
