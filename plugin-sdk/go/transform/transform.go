// Package transform exports a transform written in Go: each row gives no, one or several rows, or is refused.
package transform

import (
	"unsafe"

	"refrain/internal/wire"
)

// Timestamp is microseconds since 1970, UTC.
type Timestamp = wire.Timestamp

// Option is an option of the pipeline file.
type Option = wire.Option

// Plugin is a transform of rows In into rows Out; their fields are as in package fold.
type Plugin[In, Out any] struct {
	Name, Version, Doc string
	Options            []Option
	Configure          func(options map[string]string) error
	// Process gives rows to emit; an error refuses the row with its text, and what it gave goes away.
	Process func(row *In, emit func(Out)) error
}

var exported func(count uint32, columns wire.List) unsafe.Pointer

// Export makes it the plugin of this component; call it in init.
func Export[In, Out any](plugin Plugin[In, Out]) {
	defer wire.Listen()
	in, out := wire.NewStruct[In](), wire.NewStruct[Out]()
	wire.Described = wire.Description{
		Name: plugin.Name, Version: plugin.Version, Doc: plugin.Doc,
		Inputs: in.Cells(), Outputs: out.Cells(), Options: plugin.Options, Configure: plugin.Configure,
	}
	exported = func(count uint32, columns wire.List) unsafe.Pointer {
		return run(plugin, in, out, count, columns)
	}
}

type transformed struct {
	failed           uint32
	rows             wire.Rows
	origins, rejects wire.List
}

func run[In, Out any](plugin Plugin[In, Out], in wire.Struct[In], out wire.Struct[Out], count uint32, columns wire.List) unsafe.Pointer {
	reader, fit := in.Reader(columns)
	if !fit {
		return wire.Fatal("the host sent other columns than declared")
	}
	writer := out.Writer()
	var origins []uint32
	var rejects []wire.Reject
	for i := range count {
		before := writer.Len()
		emit := func(row Out) {
			writer.Push(&row)
			origins = append(origins, i)
		}
		if why := plugin.Process(reader.Row(i), emit); why != nil {
			writer.Truncate(before)
			origins = origins[:before]
			rejects = append(rejects, wire.Reject{Row: i, Reason: wire.Text(why.Error())})
		}
	}
	return wire.Answer(transformed{rows: writer.Rows(), origins: wire.Placed(origins), rejects: wire.Placed(rejects)})
}

//go:wasmexport refrain:plugin/transform@0.1.0#process
func process(count, columns, columnsLen uint32) unsafe.Pointer {
	defer wire.Listen()
	return exported(count, wire.List{At: columns, Len: columnsLen})
}

//go:wasmexport cabi_post_refrain:plugin/transform@0.1.0#process
func afterProcess(said unsafe.Pointer) { wire.Forget() }
