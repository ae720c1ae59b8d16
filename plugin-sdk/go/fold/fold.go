// Package fold exports a fold written in Go: a state for each key and window, in a slice by slot.
package fold

import (
	"unsafe"

	"refrain/internal/wire"
)

// Timestamp is microseconds since 1970, UTC.
type Timestamp = wire.Timestamp

// Option is an option of the pipeline file.
type Option = wire.Option

// Plugin is a fold over rows In with states State, shown as rows Out. Fields of rows are bool, int64, float64, string,
// []byte or Timestamp, or pointers to them where they may be null, with tags `refrain:"name"`.
type Plugin[In, State, Out any] struct {
	Name, Version, Doc string
	// StateVersion is 1 when left out; raise it when older states cannot be read any more.
	StateVersion uint32
	Options      []Option
	Configure    func(options map[string]string) error
	// Initial makes the state before the first row; the zero value when left out.
	Initial func() State
	// Check says why a row is not taken; it changes nothing. Takes all when left out.
	Check func(*State, *In) error
	// Update takes a row into the state of its key and window. The row is overwritten by the next.
	Update func(*State, *In)
	// Evaluate gives what the view shows; false: nothing, and a row shown before goes away.
	Evaluate func(*State) (Out, bool)
}

type slots interface {
	update(columns, rows, slots wire.List) unsafe.Pointer
	evaluate(slots wire.List) unsafe.Pointer
	save(slots wire.List) unsafe.Pointer
	restore(slots wire.List, states wire.Spans) unsafe.Pointer
	release(slots wire.List)
}

var exported slots

// Export makes it the plugin of this component; call it in init.
func Export[In, State, Out any](plugin Plugin[In, State, Out]) {
	if plugin.Initial == nil {
		plugin.Initial = func() State { return *new(State) }
	}
	if plugin.StateVersion == 0 {
		plugin.StateVersion = 1
	}
	fold := &fold[In, State, Out]{
		plugin: plugin, in: wire.NewStruct[In](), out: wire.NewStruct[Out](), codec: wire.NewCodec[State](),
	}
	wire.Described = wire.Description{
		Name: plugin.Name, Version: plugin.Version, Doc: plugin.Doc, StateVersion: plugin.StateVersion,
		Inputs: fold.in.Cells(), Outputs: fold.out.Cells(), Options: plugin.Options, Configure: plugin.Configure,
	}
	exported = fold
}

type fold[In, State, Out any] struct {
	plugin Plugin[In, State, Out]
	in     wire.Struct[In]
	out    wire.Struct[Out]
	codec  wire.Codec[State]
	states []State
}

func (f *fold[In, State, Out]) state(slot uint32) *State {
	for uint32(len(f.states)) <= slot {
		f.states = append(f.states, f.plugin.Initial())
	}
	return &f.states[slot]
}

type updated struct {
	failed  uint32
	rejects wire.List
	_       uint32
}

func (f *fold[In, State, Out]) update(columns, rowList, slotList wire.List) unsafe.Pointer {
	reader, fit := f.in.Reader(columns)
	if !fit {
		return wire.Fatal("the host sent other columns than declared")
	}
	var rejects []wire.Reject
	rows, slots := wire.Slice[uint32](rowList), wire.Slice[uint32](slotList)
	for i, end := 0, 0; i < len(slots); i = end {
		at := uint32(i)
		end = i + 1
		if len(rows) > 0 {
			// The entries of a row stand together: all of its states are asked before any is touched.
			for at = rows[i]; end < len(rows) && rows[end] == at; end++ {
			}
		}
		row := reader.Row(at)
		if why := f.refused(slots[i:end], row); why != nil {
			rejects = append(rejects, wire.Reject{Row: at, Reason: wire.Text(why.Error())})
			continue
		}
		for _, slot := range slots[i:end] {
			f.plugin.Update(f.state(slot), row)
		}
	}
	return wire.Answer(updated{rejects: wire.Placed(rejects)})
}

func (f *fold[In, State, Out]) refused(slots []uint32, row *In) error {
	if f.plugin.Check == nil {
		return nil
	}
	for _, slot := range slots {
		if why := f.plugin.Check(f.state(slot), row); why != nil {
			return why
		}
	}
	return nil
}

type evaluated struct {
	failed  uint32
	rows    wire.Rows
	present wire.List
}

func (f *fold[In, State, Out]) evaluate(slotList wire.List) unsafe.Pointer {
	writer, present := f.out.Writer(), []bool{}
	for _, slot := range wire.Slice[uint32](slotList) {
		shown, there := f.plugin.Evaluate(f.state(slot))
		if !there {
			shown = *new(Out)
		}
		writer.Push(&shown)
		present = append(present, there)
	}
	return wire.Answer(evaluated{rows: writer.Rows(), present: wire.Bitmap(present)})
}

type saved struct {
	failed uint32
	states wire.Spans
}

func (f *fold[In, State, Out]) save(slotList wire.List) unsafe.Pointer {
	var pack wire.Pack
	for _, slot := range wire.Slice[uint32](slotList) {
		pack.Add(f.codec.Encode(f.state(slot)))
	}
	return wire.Answer(saved{states: pack.Spans()})
}

func (f *fold[In, State, Out]) restore(slotList wire.List, states wire.Spans) unsafe.Pointer {
	var failed error
	slots := wire.Slice[uint32](slotList)
	states.Each(func(i int, bytes []byte) {
		if why := f.codec.Decode(bytes, f.state(slots[i])); why != nil && failed == nil {
			failed = why
		}
	})
	if failed != nil {
		return wire.Fatal("a saved state cannot be read (" + failed.Error() + "): raise StateVersion")
	}
	return wire.Answer(wire.Failure{})
}

func (f *fold[In, State, Out]) release(slotList wire.List) {
	for _, slot := range wire.Slice[uint32](slotList) {
		*f.state(slot) = f.plugin.Initial()
	}
}

//go:wasmexport refrain:plugin/fold@0.1.0#update
func update(count, columns, columnsLen, rows, rowsLen, slots, slotsLen uint32) unsafe.Pointer {
	return exported.update(wire.List{At: columns, Len: columnsLen}, wire.List{At: rows, Len: rowsLen}, wire.List{At: slots, Len: slotsLen})
}

//go:wasmexport cabi_post_refrain:plugin/fold@0.1.0#update
func afterUpdate(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/fold@0.1.0#evaluate
func evaluate(slots, slotsLen, keysCount, keys, keysLen uint32) unsafe.Pointer {
	return exported.evaluate(wire.List{At: slots, Len: slotsLen})
}

//go:wasmexport cabi_post_refrain:plugin/fold@0.1.0#evaluate
func afterEvaluate(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/fold@0.1.0#save
func save(slots, slotsLen uint32) unsafe.Pointer {
	return exported.save(wire.List{At: slots, Len: slotsLen})
}

//go:wasmexport cabi_post_refrain:plugin/fold@0.1.0#save
func afterSave(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/fold@0.1.0#restore
func restore(slots, slotsLen, ends, endsLen, bytes, bytesLen uint32) unsafe.Pointer {
	states := wire.Spans{Ends: wire.List{At: ends, Len: endsLen}, Bytes: wire.List{At: bytes, Len: bytesLen}}
	return exported.restore(wire.List{At: slots, Len: slotsLen}, states)
}

//go:wasmexport cabi_post_refrain:plugin/fold@0.1.0#restore
func afterRestore(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/fold@0.1.0#release
func release(slots, slotsLen uint32) {
	exported.release(wire.List{At: slots, Len: slotsLen})
	wire.Forget()
}
