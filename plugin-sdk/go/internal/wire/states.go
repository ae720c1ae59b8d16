package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"unsafe"
)

// Codec turns states into bytes, the same for equal states: a struct of 64-bit numbers as it lies in memory, any other
// as JSON, whose maps are sorted.
type Codec[S any] struct{ plain bool }

// NewCodec looks at the state type.
func NewCodec[S any]() Codec[S] { return Codec[S]{plain: plain(reflect.TypeFor[S]())} }

func plain(state reflect.Type) bool {
	switch state.Kind() {
	case reflect.Int64, reflect.Uint64, reflect.Float64:
		return true
	case reflect.Array:
		return plain(state.Elem())
	case reflect.Struct:
		for i := range state.NumField() {
			if !plain(state.Field(i).Type) {
				return false
			}
		}
		return true
	}
	return false
}

// Encode gives the bytes of a state; they are valid until it changes.
func (c Codec[S]) Encode(state *S) []byte {
	if c.plain {
		return unsafe.Slice((*byte)(unsafe.Pointer(state)), unsafe.Sizeof(*state))
	}
	bytes, why := json.Marshal(state)
	if why != nil {
		panic(why)
	}
	return bytes
}

// Decode reads a state.
func (c Codec[S]) Decode(bytes []byte, state *S) error {
	if !c.plain {
		*state = *new(S)
		return json.Unmarshal(bytes, state)
	}
	if uintptr(len(bytes)) != unsafe.Sizeof(*state) {
		return fmt.Errorf("it has %d bytes", len(bytes))
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(state)), len(bytes)), bytes)
	return nil
}
