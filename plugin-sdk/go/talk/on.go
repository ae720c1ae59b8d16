//go:build talk

package talk

import (
	"fmt"
	"unsafe"
)

// On says whether a line is heard by anyone.
const On = true

//go:wasmimport refrain:plugin/logging@0.1.0 log
func log(level int32, text unsafe.Pointer, size uint32)

// Log says a line, with the words of fmt.Sprintf.
func Log(level Level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	log(int32(level), unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}
