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
// []byte or Timestamp, or pointers to them where they may be null, with tags `refrain:"name"`. A state holds booleans,
// numbers, strings, and structs, arrays, slices, maps and pointers of them.
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
	defer wire.Listen()
	if plugin.StateVersion == 0 {
		plugin.StateVersion = 1
	}
	fold := &fold[In, State, Out]{
		plugin: plugin, in: wire.NewStruct[In](), out: wire.NewStruct[Out](), states: wire.NewStates(plugin.Initial, false),
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
	states *wire.States[State]
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
			f.plugin.Update(f.states.Of(slot), row)
		}
	}
	return wire.Answer(updated{rejects: wire.Placed(rejects)})
}

func (f *fold[In, State, Out]) refused(slots []uint32, row *In) error {
	if f.plugin.Check == nil {
		return nil
	}
	for _, slot := range slots {
		if why := f.plugin.Check(f.states.Of(slot), row); why != nil {
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
		shown, there := f.plugin.Evaluate(f.states.Of(slot))
		if !there {
			shown = *new(Out)
		}
		writer.Push(&shown)
		present = append(present, there)
	}
	return wire.Answer(evaluated{rows: writer.Rows(), present: wire.Bitmap(present)})
}

func (f *fold[In, State, Out]) save(slots wire.List) unsafe.Pointer { return f.states.Save(slots) }

func (f *fold[In, State, Out]) restore(slots wire.List, states wire.Spans) unsafe.Pointer {
	return f.states.Restore(slots, states)
}

func (f *fold[In, State, Out]) release(slots wire.List) { f.states.Release(slots) }

//go:wasmexport refrain:plugin/fold@0.1.0#update
func update(count, columns, columnsLen, rows, rowsLen, slots, slotsLen uint32) unsafe.Pointer {
	defer wire.Listen()
	return exported.update(wire.List{At: columns, Len: columnsLen}, wire.List{At: rows, Len: rowsLen}, wire.List{At: slots, Len: slotsLen})
}

//go:wasmexport cabi_post_refrain:plugin/fold@0.1.0#update
func afterUpdate(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/fold@0.1.0#evaluate
func evaluate(slots, slotsLen, keysCount, keys, keysLen uint32) unsafe.Pointer {
	defer wire.Listen()
	return exported.evaluate(wire.List{At: slots, Len: slotsLen})
}

//go:wasmexport cabi_post_refrain:plugin/fold@0.1.0#evaluate
func afterEvaluate(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/fold@0.1.0#save
func save(slots, slotsLen uint32) unsafe.Pointer {
	defer wire.Listen()
	return exported.save(wire.List{At: slots, Len: slotsLen})
}

//go:wasmexport cabi_post_refrain:plugin/fold@0.1.0#save
func afterSave(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/fold@0.1.0#restore
func restore(slots, slotsLen, ends, endsLen, bytes, bytesLen uint32) unsafe.Pointer {
	defer wire.Listen()
	states := wire.Spans{Ends: wire.List{At: ends, Len: endsLen}, Bytes: wire.List{At: bytes, Len: bytesLen}}
	return exported.restore(wire.List{At: slots, Len: slotsLen}, states)
}

//go:wasmexport cabi_post_refrain:plugin/fold@0.1.0#restore
func afterRestore(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/fold@0.1.0#release
func release(slots, slotsLen uint32) {
	defer wire.Listen()
	exported.release(wire.List{At: slots, Len: slotsLen})
	wire.Forget()
}
