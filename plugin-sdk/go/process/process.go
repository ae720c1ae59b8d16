// Package process exports a process written in Go: a state for each key over the rows of several inputs, timers in event
// time, rows out.
package process

import (
	"math"
	"unsafe"

	"refrain/internal/wire"
)

// Timestamp is microseconds since 1970, UTC.
type Timestamp = wire.Timestamp

// Span is a length of time in microseconds.
type Span = wire.Span

// ParseSpan reads an option that is a length of time, as in "90s".
func ParseSpan(text string) (Span, error) { return wire.ParseSpan(text) }

// Option is an option of the pipeline file.
type Option = wire.Option

// Plugin is a process with states State that gives rows Out; their types are as in package fold. A state that is the
// initial one is forgotten, unless its key has timers.
type Plugin[State, Out any] struct {
	Name, Version, Doc string
	// StateVersion is 1 when left out; raise it when older states cannot be read any more.
	StateVersion uint32
	Options      []Option
	Configure    func(options map[string]string) error
	// Initial makes the state before the first row; the zero value when left out.
	Initial func() State
	// Inputs are made by From and Checked.
	Inputs []Input[State, Out]
	// Fire takes a timer of a key: the watermark has reached its time. Left out: nothing happens.
	Fire func(*State, *Context[Out])
	// ViewKey names the fields of Out that make, behind the node's key, the key of a view's row.
	ViewKey []string
	// Untimed does without times and timers, for larger calls.
	Untimed bool
}

// Moment is when a row or timer comes. Without times both are the least timestamp.
type Moment struct {
	// Time is the event time of the row; the time that the timer was set for.
	Time Timestamp
	// Watermark is the node's, rounded down to a step: no row that is older is expected.
	Watermark Timestamp
}

// Context takes what a process gives for a row or timer of one key.
type Context[Out any] struct {
	Moment
	untimed          bool
	slot, origin     uint32
	writer           *wire.Writer[Out]
	origins          []uint32
	deleted, cleared []bool
	slots            []uint32
	times            []int64
}

// Emit gives a row: the next one of a topic, or the view's row of its key.
func (c *Context[Out]) Emit(row Out) { c.give(row, false) }

// Delete takes the view's row of this key away; only the fields of ViewKey matter. Not for a node that writes a topic.
func (c *Context[Out]) Delete(row Out) { c.give(row, true) }

// SetTimer asks for Fire when the watermark reaches this time; a key has one timer for each time.
func (c *Context[Out]) SetTimer(at Timestamp) { c.timer(at, false) }

// ClearTimer forgets the timer of this time. Nothing changes when there is none.
func (c *Context[Out]) ClearTimer(at Timestamp) { c.timer(at, true) }

func (c *Context[Out]) give(row Out, deleted bool) {
	c.writer.Push(&row)
	c.origins = append(c.origins, c.origin)
	c.deleted = append(c.deleted, deleted)
}

func (c *Context[Out]) timer(at Timestamp, cleared bool) {
	if c.untimed {
		panic("a process that is Untimed has no timers")
	}
	c.slots = append(c.slots, c.slot)
	c.times = append(c.times, int64(at))
	c.cleared = append(c.cleared, cleared)
}

// take takes row i of a call.
type take[State, Out any] func(i uint32, state *State, context *Context[Out]) error

// Input is one input, with rows of its own type.
type Input[State, Out any] struct {
	name  string
	cells wire.Cells
	bind  func(columns wire.List) (take[State, Out], bool)
}

// From is an input all of whose rows are taken. The row is overwritten by the next.
func From[In, State, Out any](name string, process func(*State, *In, *Context[Out])) Input[State, Out] {
	return Checked(name, func(*State, *In, Moment) error { return nil }, process)
}

// Checked is an input some of whose rows are refused: `check` says why, and changes nothing.
func Checked[In, State, Out any](name string, check func(*State, *In, Moment) error, process func(*State, *In, *Context[Out])) Input[State, Out] {
	in := wire.NewStruct[In]()
	bind := func(columns wire.List) (take[State, Out], bool) {
		reader, fit := in.Reader(columns)
		return func(i uint32, state *State, context *Context[Out]) error {
			row := reader.Row(i)
			why := check(state, row, context.Moment)
			if why == nil {
				process(state, row, context)
			}
			return why
		}, fit
	}
	return Input[State, Out]{name, in.Cells(), bind}
}

type exports interface {
	declare() unsafe.Pointer
	process(parts, order wire.List, watermark int64) unsafe.Pointer
	fire(slots, times wire.List, watermark int64) unsafe.Pointer
	save(slots wire.List) unsafe.Pointer
	restore(slots wire.List, states wire.Spans) unsafe.Pointer
	release(slots wire.List)
}

var exported exports

// Export makes it the plugin of this component; call it in init.
func Export[State, Out any](plugin Plugin[State, Out]) {
	defer wire.Listen()
	if plugin.StateVersion == 0 {
		plugin.StateVersion = 1
	}
	running := &instance[State, Out]{plugin, wire.NewStruct[Out](), wire.NewStates(plugin.Initial, true)}
	wire.Described = wire.Description{
		Name: plugin.Name, Version: plugin.Version, Doc: plugin.Doc, StateVersion: plugin.StateVersion,
		Outputs: running.out.Cells(), Options: plugin.Options, Configure: plugin.Configure,
	}
	exported = running
}

type instance[State, Out any] struct {
	plugin Plugin[State, Out]
	out    wire.Struct[Out]
	states *wire.States[State]
}

type input struct{ name, doc, fields wire.List }

type declaration struct {
	inputs, viewKey wire.List
	timed           uint32
}

func (p *instance[State, Out]) declare() unsafe.Pointer {
	var inputs []input
	for _, one := range p.plugin.Inputs {
		inputs = append(inputs, input{name: wire.Text(one.name), fields: wire.Fields(one.cells)})
	}
	var key []wire.List
	for _, name := range p.plugin.ViewKey {
		key = append(key, wire.Text(name))
	}
	said := declaration{inputs: wire.Placed(inputs), viewKey: wire.Placed(key)}
	if !p.plugin.Untimed {
		said.timed = 1
	}
	return wire.Answer(said)
}

type part struct {
	count                 uint32
	columns, slots, times wire.List
}

func (p *instance[State, Out]) context(watermark int64) *Context[Out] {
	return &Context[Out]{
		Moment:  Moment{math.MinInt64, Timestamp(watermark)},
		untimed: p.plugin.Untimed,
		writer:  p.out.Writer(),
	}
}

func (p *instance[State, Out]) process(partList, orderList wire.List, watermark int64) unsafe.Pointer {
	parts, order := wire.Slice[part](partList), wire.Slice[uint32](orderList)
	takes := make([]take[State, Out], len(p.plugin.Inputs))
	fit := len(parts) == len(takes)
	for i := 0; fit && i < len(parts); i++ {
		takes[i], fit = p.plugin.Inputs[i].bind(parts[i].columns)
	}
	if !fit {
		return wire.Fatal("the host sent other columns than declared")
	}
	context, next := p.context(watermark), make([]uint32, len(parts))
	var rejects []wire.Reject
	count := len(order)
	if count == 0 && len(parts) == 1 {
		count = int(parts[0].count)
	}
	for place := range count {
		from := uint32(0)
		if len(order) > 0 {
			from = order[place]
		}
		at := next[from]
		next[from]++
		context.origin, context.slot = uint32(place), wire.Slice[uint32](parts[from].slots)[at]
		if !p.plugin.Untimed {
			context.Time = wire.Slice[Timestamp](parts[from].times)[at]
		}
		if why := takes[from](at, p.states.Of(context.slot), context); why != nil {
			rejects = append(rejects, wire.Reject{Row: uint32(place), Reason: wire.Text(why.Error())})
		}
	}
	return context.answer(rejects)
}

func (p *instance[State, Out]) fire(slotList, timeList wire.List, watermark int64) unsafe.Pointer {
	context, times := p.context(watermark), wire.Slice[Timestamp](timeList)
	for place, slot := range wire.Slice[uint32](slotList) {
		context.origin, context.slot, context.Time = uint32(place), slot, times[place]
		if p.plugin.Fire != nil {
			p.plugin.Fire(p.states.Of(slot), context)
		}
	}
	return context.answer(nil)
}

type processed struct {
	failed                    uint32
	rows                      wire.Rows
	origins, deleted, rejects wire.List
	slots, times, cleared     wire.List
}

func (c *Context[Out]) answer(rejects []wire.Reject) unsafe.Pointer {
	return wire.Answer(processed{
		rows: c.writer.Rows(), origins: wire.Placed(c.origins), deleted: wire.Marks(c.deleted), rejects: wire.Placed(rejects),
		slots: wire.Placed(c.slots), times: wire.Placed(c.times), cleared: wire.Marks(c.cleared),
	})
}

func (p *instance[State, Out]) save(slots wire.List) unsafe.Pointer { return p.states.Save(slots) }

func (p *instance[State, Out]) restore(slots wire.List, states wire.Spans) unsafe.Pointer {
	return p.states.Restore(slots, states)
}

func (p *instance[State, Out]) release(slots wire.List) { p.states.Release(slots) }

//go:wasmexport refrain:plugin/process@0.1.0#declare
func declare() unsafe.Pointer {
	defer wire.Listen()
	return exported.declare()
}

//go:wasmexport cabi_post_refrain:plugin/process@0.1.0#declare
func afterDeclare(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/process@0.1.0#process
func process(parts, partsLen, order, orderLen uint32, watermark int64) unsafe.Pointer {
	defer wire.Listen()
	return exported.process(wire.List{At: parts, Len: partsLen}, wire.List{At: order, Len: orderLen}, watermark)
}

//go:wasmexport cabi_post_refrain:plugin/process@0.1.0#process
func afterProcess(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/process@0.1.0#fire
func fire(slots, slotsLen, times, timesLen uint32, watermark int64) unsafe.Pointer {
	defer wire.Listen()
	return exported.fire(wire.List{At: slots, Len: slotsLen}, wire.List{At: times, Len: timesLen}, watermark)
}

//go:wasmexport cabi_post_refrain:plugin/process@0.1.0#fire
func afterFire(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/process@0.1.0#save
func save(slots, slotsLen uint32) unsafe.Pointer {
	defer wire.Listen()
	return exported.save(wire.List{At: slots, Len: slotsLen})
}

//go:wasmexport cabi_post_refrain:plugin/process@0.1.0#save
func afterSave(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/process@0.1.0#restore
func restore(slots, slotsLen, ends, endsLen, bytes, bytesLen uint32) unsafe.Pointer {
	defer wire.Listen()
	states := wire.Spans{Ends: wire.List{At: ends, Len: endsLen}, Bytes: wire.List{At: bytes, Len: bytesLen}}
	return exported.restore(wire.List{At: slots, Len: slotsLen}, states)
}

//go:wasmexport cabi_post_refrain:plugin/process@0.1.0#restore
func afterRestore(said unsafe.Pointer) { wire.Forget() }

//go:wasmexport refrain:plugin/process@0.1.0#release
func release(slots, slotsLen uint32) {
	defer wire.Listen()
	exported.release(wire.List{At: slots, Len: slotsLen})
	wire.Forget()
}
