// Package wire is what folds and transforms share: memory of one call, columns, rows as structs, the description.
//
// All that crosses the boundary lies in blocks that live until the next call's end, where the garbage collector neither
// moves nor frees them. docs/raw-contract.md draws the layouts.
package wire

import "unsafe"

// block is memory for one call; values of 8 bytes, so that it is aligned.
type block []uint64

var (
	blocks []block
	used   uintptr // bytes of the last block
	taken  uintptr // bytes of all blocks
)

const blockBytes = 1 << 16

// Take gives memory until the end of the call, aligned to 8 bytes, not cleared.
func Take(size uintptr) unsafe.Pointer {
	size = (size + 7) &^ 7
	if len(blocks) == 0 || used+size > uintptr(len(blocks[len(blocks)-1]))*8 {
		wanted := max(size, taken, blockBytes)
		blocks = append(blocks, make(block, wanted/8))
		taken += wanted
		used = 0
	}
	at := unsafe.Add(unsafe.Pointer(unsafe.SliceData(blocks[len(blocks)-1])), used)
	used += size
	return at
}

// Forget ends a call: one block stays, as large as all were together.
func Forget() {
	if len(blocks) > 1 {
		blocks = []block{make(block, taken/8)}
	}
	used = 0
}

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	at := Take(uintptr(size))
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(at), size), unsafe.Slice((*byte)(old), min(oldSize, size)))
	}
	return at
}

// An address as it crosses the boundary.
type address = uint32

func addressOf(at unsafe.Pointer) address { return address(uintptr(at)) }

func pointer(at address) unsafe.Pointer { return unsafe.Pointer(uintptr(at)) }

// List is a list on the boundary.
type List struct{ At, Len uint32 }

// Slice is the list as the slice that it is.
func Slice[T any](list List) []T {
	if list.Len == 0 {
		return nil
	}
	return unsafe.Slice((*T)(pointer(list.At)), list.Len)
}

// Placed copies a slice into the memory of the call.
func Placed[T any](values []T) List {
	if len(values) == 0 {
		return List{}
	}
	var one T
	at := Take(uintptr(len(values)) * unsafe.Sizeof(one))
	copy(unsafe.Slice((*T)(at), len(values)), values)
	return List{addressOf(at), uint32(len(values))}
}

// Text places a string.
func Text(text string) List { return Placed([]byte(text)) }

// Answer places what a function returns.
func Answer[T any](value T) unsafe.Pointer {
	at := Take(unsafe.Sizeof(value))
	*(*T)(at) = value
	return at
}

// Failure is `result::err(failure::fatal(text))` of any function.
type Failure struct {
	failed uint32
	tag    uint32
	text   List
}

// Fatal gives up: the node stops with the text.
func Fatal(text string) unsafe.Pointer { return Answer(Failure{failed: 1, text: Text(text)}) }

// Reject is a refused row.
type Reject struct {
	Row    uint32
	Reason List
}
