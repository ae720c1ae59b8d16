package wire

import "unsafe"

// Option is an option of the pipeline file. Kind is a logical type; a Default of "" with Required unset is the empty text.
type Option struct {
	Name, Kind, Default, Doc string
	Required                 bool
}

// Description is what a plugin says of itself.
type Description struct {
	Name, Version, Doc string
	Inputs, Outputs    Cells
	StateVersion       uint32
	Options            []Option
	Configure          func(options map[string]string) error
}

// Described is the plugin of this component.
var Described Description

// Cells are the fields of a row type.
func (s Struct[R]) Cells() Cells { return s.cells }

// Cells are fields.
type Cells = []cell

type field struct {
	name, kind List
	nullable   uint32
}

type setting struct {
	name, kind List
	hasDefault uint32
	fallback   List
	doc        List
}

type description struct {
	name, version, doc List
	inputs, outputs    List
	wantsKeys          uint32
	stateVersion       uint32
	settings           List
}

// Fields places fields.
func Fields(cells Cells) List {
	var all []field
	for _, cell := range cells {
		nullable := uint32(0)
		if cell.nullable {
			nullable = 1
		}
		all = append(all, field{Text(cell.name), Text(cell.kind), nullable})
	}
	return Placed(all)
}

//go:wasmexport refrain:plugin/about@0.1.0#describe
func describe() unsafe.Pointer {
	defer Listen()
	var settings []setting
	for _, option := range Described.Options {
		made := setting{name: Text(option.Name), kind: Text(option.Kind), doc: Text(option.Doc)}
		if !option.Required {
			made.hasDefault, made.fallback = 1, Text(option.Default)
		}
		settings = append(settings, made)
	}
	version := Described.Version
	if version == "" {
		version = "0.1.0"
	}
	return Answer(description{
		name: Text(Described.Name), version: Text(version), doc: Text(Described.Doc),
		inputs: Fields(Described.Inputs), outputs: Fields(Described.Outputs),
		stateVersion: Described.StateVersion, settings: Placed(settings),
	})
}

//go:wasmexport cabi_post_refrain:plugin/about@0.1.0#describe
func afterDescribe(said unsafe.Pointer) { Forget() }

type configured struct {
	failed uint32
	text   List
}

//go:wasmexport refrain:plugin/about@0.1.0#configure
func configure(at, count uint32) unsafe.Pointer {
	defer Listen()
	given := map[string]string{}
	for _, pair := range Slice[[2]List](List{at, count}) {
		given[string(Slice[byte](pair[0]))] = string(Slice[byte](pair[1]))
	}
	if Described.Configure != nil {
		if why := Described.Configure(given); why != nil {
			return Answer(configured{1, Text(why.Error())})
		}
	}
	return Answer(configured{})
}

//go:wasmexport cabi_post_refrain:plugin/about@0.1.0#configure
func afterConfigure(said unsafe.Pointer) { Forget() }
