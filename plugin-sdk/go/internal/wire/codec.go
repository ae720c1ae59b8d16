package wire

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"unsafe"
)

// Codec turns states into bytes, the same for equal states, and back: all fields, exported or not, one after another.
//
//	bool, numbers           as in memory, little-endian; int and uint have 8 bytes
//	string, []byte, slice   how many, then each
//	map                     how many, then keys and values in the order of the keys' bytes
//	pointer                 0, or 1 and what it points to
//	MarshalBinary           a type that has it and UnmarshalBinary, such as time.Time: its length, its bytes
//
// Floats keep their bits, NaN too. An empty slice comes back as nil, an empty map as a map.
type Codec[S any] struct {
	plan  *plan
	plain bool // a struct of 64-bit numbers: its bytes are those in memory
	room  []byte
}

// NewCodec looks at the state type; panics where it has what cannot be saved.
func NewCodec[S any]() Codec[S] {
	state := reflect.TypeFor[S]()
	return Codec[S]{plan: planOf(state, map[reflect.Type]*plan{}), plain: plain(state)}
}

// Encode gives the bytes of a state; they are valid until the next.
func (c *Codec[S]) Encode(state *S) []byte {
	if c.plain {
		return unsafe.Slice((*byte)(unsafe.Pointer(state)), unsafe.Sizeof(*state))
	}
	c.room = c.plan.encode(c.room[:0], unsafe.Pointer(state))
	return c.room
}

// Decode reads a state.
func (c *Codec[S]) Decode(bytes []byte, state *S) error {
	if c.plain && uintptr(len(bytes)) == unsafe.Sizeof(*state) {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(state)), len(bytes)), bytes)
		return nil
	}
	from := source{bytes: bytes}
	c.plan.decode(&from, unsafe.Pointer(state))
	if from.failed == nil && len(from.bytes) > 0 {
		return fmt.Errorf("it has %d bytes too many", len(from.bytes))
	}
	return from.failed
}

// plan is how values of one type are written and read.
type plan struct {
	encode func(to []byte, at unsafe.Pointer) []byte
	decode func(from *source, at unsafe.Pointer)
}

// source is what is left of a saved state.
type source struct {
	bytes  []byte
	failed error
}

func (s *source) take(count int) []byte {
	if s.failed != nil || count > len(s.bytes) {
		s.fail(errors.New("it is cut short"))
		return make([]byte, min(count, 8))
	}
	taken := s.bytes[:count]
	s.bytes = s.bytes[count:]
	return taken
}

// count reads how many values follow; each has at least so many bytes.
func (s *source) count(size int) int {
	count, width := binary.Uvarint(s.bytes)
	if s.failed != nil || width <= 0 || count > uint64(len(s.bytes)) && size > 0 || count > 1<<31 {
		s.fail(errors.New("it is cut short"))
		return 0
	}
	s.bytes = s.bytes[width:]
	return int(count)
}

func (s *source) fail(why error) {
	if s.failed == nil {
		s.failed = why
	}
}

var (
	marshaler   = reflect.TypeFor[encoding.BinaryMarshaler]()
	unmarshaler = reflect.TypeFor[encoding.BinaryUnmarshaler]()
)

func planOf(of reflect.Type, known map[reflect.Type]*plan) *plan {
	if made, there := known[of]; there {
		return made
	}
	made := &plan{}
	known[of] = made // before its parts, which may point back to it
	switch {
	case reflect.PointerTo(of).Implements(marshaler) && reflect.PointerTo(of).Implements(unmarshaler):
		*made = ofMarshaler(of)
	case of.Kind() == reflect.Struct:
		*made = ofStruct(of, known)
	case of.Kind() == reflect.Array:
		*made = ofArray(of, planOf(of.Elem(), known))
	case of.Kind() == reflect.Slice:
		*made = ofSlice(of, planOf(of.Elem(), known))
	case of.Kind() == reflect.Map:
		if hasFloat(of.Key()) {
			panic(fmt.Sprintf("%s cannot be in a state: NaN is no key", of))
		}
		*made = ofMap(of, planOf(of.Key(), known), planOf(of.Elem(), known))
	case of.Kind() == reflect.Pointer:
		*made = ofPointer(of, planOf(of.Elem(), known))
	case of.Kind() == reflect.String:
		*made = plan{
			func(to []byte, at unsafe.Pointer) []byte {
				text := *(*string)(at)
				return append(binary.AppendUvarint(to, uint64(len(text))), text...)
			},
			func(from *source, at unsafe.Pointer) { *(*string)(at) = string(from.take(from.count(1))) },
		}
	case of.Kind() <= reflect.Complex128 && of.Kind() != reflect.Invalid:
		*made = ofBits(int(of.Size()))
	default:
		panic(fmt.Sprintf("%s cannot be in a state: it holds booleans, numbers, strings, and structs, arrays, slices, maps and pointers of them", of))
	}
	return made
}

// ofBits copies a number.
func ofBits(size int) plan {
	return plan{
		func(to []byte, at unsafe.Pointer) []byte { return append(to, unsafe.Slice((*byte)(at), size)...) },
		func(from *source, at unsafe.Pointer) { copy(unsafe.Slice((*byte)(at), size), from.take(size)) },
	}
}

func ofMarshaler(of reflect.Type) plan {
	value := func(at unsafe.Pointer) any { return reflect.NewAt(of, at).Interface() }
	return plan{
		func(to []byte, at unsafe.Pointer) []byte {
			bytes, why := value(at).(encoding.BinaryMarshaler).MarshalBinary()
			if why != nil {
				panic(why)
			}
			return append(binary.AppendUvarint(to, uint64(len(bytes))), bytes...)
		},
		func(from *source, at unsafe.Pointer) {
			bytes := from.take(from.count(1))
			if from.failed == nil {
				if why := value(at).(encoding.BinaryUnmarshaler).UnmarshalBinary(bytes); why != nil {
					from.fail(why)
				}
			}
		},
	}
}

func ofStruct(of reflect.Type, known map[reflect.Type]*plan) plan {
	type part struct {
		offset uintptr
		plan   *plan
	}
	var parts []part
	for i := range of.NumField() {
		parts = append(parts, part{of.Field(i).Offset, planOf(of.Field(i).Type, known)})
	}
	return plan{
		func(to []byte, at unsafe.Pointer) []byte {
			for _, part := range parts {
				to = part.plan.encode(to, unsafe.Add(at, part.offset))
			}
			return to
		},
		func(from *source, at unsafe.Pointer) {
			for _, part := range parts {
				part.plan.decode(from, unsafe.Add(at, part.offset))
			}
		},
	}
}

func ofArray(of reflect.Type, each *plan) plan {
	size := of.Elem().Size()
	return plan{
		func(to []byte, at unsafe.Pointer) []byte {
			for i := range of.Len() {
				to = each.encode(to, unsafe.Add(at, uintptr(i)*size))
			}
			return to
		},
		func(from *source, at unsafe.Pointer) {
			for i := range of.Len() {
				each.decode(from, unsafe.Add(at, uintptr(i)*size))
			}
		},
	}
}

func ofSlice(of reflect.Type, each *plan) plan {
	size := of.Elem().Size()
	return plan{
		func(to []byte, at unsafe.Pointer) []byte {
			all := reflect.NewAt(of, at).Elem()
			to = binary.AppendUvarint(to, uint64(all.Len()))
			for i := range all.Len() {
				to = each.encode(to, unsafe.Add(all.UnsafePointer(), uintptr(i)*size))
			}
			return to
		},
		func(from *source, at unsafe.Pointer) {
			count := from.count(int(size))
			all := reflect.Zero(of)
			if count > 0 {
				all = reflect.MakeSlice(of, count, count)
			}
			for i := range count {
				each.decode(from, unsafe.Add(all.UnsafePointer(), uintptr(i)*size))
			}
			reflect.NewAt(of, at).Elem().Set(all)
		},
	}
}

func ofMap(of reflect.Type, key, value *plan) plan {
	return plan{
		func(to []byte, at unsafe.Pointer) []byte {
			all := reflect.NewAt(of, at).Elem()
			pairs := map[string][]byte{}
			for pair := all.MapRange(); pair.Next(); {
				name := string(key.encode(nil, placed(pair.Key())))
				pairs[name] = value.encode(nil, placed(pair.Value()))
			}
			to = binary.AppendUvarint(to, uint64(len(pairs)))
			for _, name := range slices.Sorted(maps.Keys(pairs)) {
				to = append(append(to, name...), pairs[name]...)
			}
			return to
		},
		func(from *source, at unsafe.Pointer) {
			count := from.count(int(of.Key().Size()))
			all := reflect.MakeMap(of)
			for range count {
				name, kept := reflect.New(of.Key()), reflect.New(of.Elem())
				key.decode(from, name.UnsafePointer())
				value.decode(from, kept.UnsafePointer())
				all.SetMapIndex(name.Elem(), kept.Elem())
			}
			reflect.NewAt(of, at).Elem().Set(all)
		},
	}
}

// placed is a value of a map in memory.
func placed(value reflect.Value) unsafe.Pointer {
	copied := reflect.New(value.Type())
	copied.Elem().Set(value)
	return copied.UnsafePointer()
}

func ofPointer(of reflect.Type, to *plan) plan {
	return plan{
		func(bytes []byte, at unsafe.Pointer) []byte {
			pointed := *(*unsafe.Pointer)(at)
			if pointed == nil {
				return append(bytes, 0)
			}
			return to.encode(append(bytes, 1), pointed)
		},
		func(from *source, at unsafe.Pointer) {
			*(*unsafe.Pointer)(at) = nil
			if from.take(1)[0] == 1 {
				made := reflect.New(of.Elem())
				to.decode(from, made.UnsafePointer())
				*(*unsafe.Pointer)(at) = made.UnsafePointer()
			}
		},
	}
}

func hasFloat(of reflect.Type) bool {
	switch of.Kind() {
	case reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return true
	case reflect.Array:
		return hasFloat(of.Elem())
	case reflect.Struct:
		for i := range of.NumField() {
			if hasFloat(of.Field(i).Type) {
				return true
			}
		}
	}
	return false
}

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
