package wire

import (
	"bytes"
	"unsafe"
)

// States are the states of one instance, by slot.
type States[S any] struct {
	all       []S
	initial   func() S
	codec     Codec[S]
	forgotten []byte // the initial state as bytes, where it is saved as none
}

// NewStates makes room for states. `forgetful`: one that is the initial state is saved as no bytes, so that the host can
// forget its key.
func NewStates[S any](initial func() S, forgetful bool) *States[S] {
	if initial == nil {
		initial = func() S { return *new(S) }
	}
	states := &States[S]{initial: initial, codec: NewCodec[S]()}
	if forgetful {
		first := initial()
		states.forgotten = bytes.Clone(states.codec.Encode(&first))
	}
	return states
}

// Of is the state of a slot.
func (s *States[S]) Of(slot uint32) *S {
	for uint32(len(s.all)) <= slot {
		s.all = append(s.all, s.initial())
	}
	return &s.all[slot]
}

type saved struct {
	failed uint32
	states Spans
}

// Save answers `save`.
func (s *States[S]) Save(slots List) unsafe.Pointer {
	var pack Pack
	for _, slot := range Slice[uint32](slots) {
		state := s.codec.Encode(s.Of(slot))
		if s.forgotten != nil && bytes.Equal(state, s.forgotten) {
			state = nil
		}
		pack.Add(state)
	}
	return Answer(saved{states: pack.Spans()})
}

// Restore answers `restore`.
func (s *States[S]) Restore(slotList List, states Spans) unsafe.Pointer {
	var failed error
	slots := Slice[uint32](slotList)
	states.Each(func(i int, bytes []byte) {
		if why := s.codec.Decode(bytes, s.Of(slots[i])); why != nil && failed == nil {
			failed = why
		}
	})
	if failed != nil {
		return Fatal("a saved state cannot be read (" + failed.Error() + "): raise StateVersion")
	}
	return Answer(Failure{})
}

// Release answers `release`.
func (s *States[S]) Release(slots List) {
	for _, slot := range Slice[uint32](slots) {
		*s.Of(slot) = s.initial()
	}
}
