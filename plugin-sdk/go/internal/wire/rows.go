package wire

import (
	"fmt"
	"reflect"
	"unsafe"
)

type cell struct {
	name, kind string
	tag        uint32
	nullable   bool
	offset     uintptr
}

var kinds = map[reflect.Type]cell{
	reflect.TypeFor[bool]():      {kind: "bool", tag: tagBools},
	reflect.TypeFor[int64]():     {kind: "i64", tag: tagInts},
	reflect.TypeFor[Timestamp](): {kind: "timestamp", tag: tagInts},
	reflect.TypeFor[float64]():   {kind: "f64", tag: tagFloats},
	reflect.TypeFor[string]():    {kind: "text", tag: tagSpans},
	reflect.TypeFor[[]byte]():    {kind: "bytes", tag: tagSpans},
}

// Struct is a row type: the fields of a struct, by their tags `refrain:"name"`.
type Struct[R any] struct{ cells []cell }

// NewStruct reads a row type; a pointer to a type is a nullable field of it.
func NewStruct[R any]() Struct[R] {
	row := reflect.TypeFor[R]()
	var cells []cell
	for i := range row.NumField() {
		field := row.Field(i)
		kind, nullable := field.Type, field.Type.Kind() == reflect.Pointer
		if nullable {
			kind = kind.Elem()
		}
		made, known := kinds[kind]
		name, named := field.Tag.Lookup("refrain")
		if !known || !named {
			panic(fmt.Sprintf("%s.%s: a field is bool, int64, float64, string, []byte or Timestamp, or a pointer to one, with a tag `refrain:\"name\"`", row, field.Name))
		}
		made.name, made.nullable, made.offset = name, nullable, field.Offset
		cells = append(cells, made)
	}
	return Struct[R]{cells}
}

// Reader reads rows of one batch.
type Reader[R any] struct {
	cells   []cell
	columns []Column
	row     R
}

// Reader binds the columns of a batch; false: they are others than declared.
func (s Struct[R]) Reader(columns List) (*Reader[R], bool) {
	given := Slice[Column](columns)
	if len(given) != len(s.cells) {
		return nil, false
	}
	for i, cell := range s.cells {
		if uint8(given[i].tag) != uint8(cell.tag) {
			return nil, false
		}
	}
	return &Reader[R]{cells: s.cells, columns: given}, true
}

// Row reads row i; it is overwritten by the next.
func (r *Reader[R]) Row(i uint32) *R {
	at := unsafe.Pointer(&r.row)
	for c := range r.cells {
		cell, column := &r.cells[c], &r.columns[c]
		read(cell, column, i, unsafe.Add(at, cell.offset))
	}
	return &r.row
}

func element[T any](column *Column, i uint32) *T {
	var one T
	return (*T)(unsafe.Add(pointer(column.values[0]), uintptr(i)*unsafe.Sizeof(one)))
}

func span(column *Column, i uint32) []byte {
	start := uint32(0)
	if i > 0 {
		start = *element[uint32](column, i-1)
	}
	end := *element[uint32](column, i)
	if start == end {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(pointer(column.values[2]), start)), end-start)
}

func read(cell *cell, column *Column, i uint32, to unsafe.Pointer) {
	if cell.nullable {
		readNullable(cell, column, i, to)
		return
	}
	switch cell.tag {
	case tagBools:
		*(*bool)(to) = *element[bool](column, i)
	case tagInts:
		*(*int64)(to) = *element[int64](column, i)
	case tagFloats:
		*(*float64)(to) = *element[float64](column, i)
	default:
		value := span(column, i)
		if cell.kind == "text" {
			*(*string)(to) = word(value)
		} else {
			*(*[]byte)(to) = append([]byte(nil), value...)
		}
	}
}

// words keeps short texts, so that a column of words makes no garbage.
var words = map[string]string{}

func word(value []byte) string {
	if len(value) > 16 {
		return string(value)
	}
	if kept, there := words[string(value)]; there {
		return kept
	}
	made := string(value)
	if len(words) < 4096 {
		words[made] = made
	}
	return made
}

func readNullable(cell *cell, column *Column, i uint32, to unsafe.Pointer) {
	valid := Slice[byte](column.valid)
	if len(valid) > 0 && valid[i/8]>>(i%8)&1 == 0 {
		*(*unsafe.Pointer)(to) = nil
		return
	}
	switch cell.kind {
	case "bool":
		*(**bool)(to) = new(*element[bool](column, i))
	case "f64":
		*(**float64)(to) = new(*element[float64](column, i))
	case "text":
		*(**string)(to) = new(word(span(column, i)))
	case "bytes":
		*(**[]byte)(to) = new(append([]byte{}, span(column, i)...))
	default:
		*(**int64)(to) = new(*element[int64](column, i))
	}
}

type builder struct {
	bools  []bool
	ints   []int64
	floats []float64
	pack   Pack
	there  []bool
}

// Writer writes rows.
type Writer[R any] struct {
	cells    []cell
	builders []builder
	count    uint32
}

// Writer begins rows.
func (s Struct[R]) Writer() *Writer[R] {
	return &Writer[R]{cells: s.cells, builders: make([]builder, len(s.cells))}
}

// Len is the number of rows.
func (w *Writer[R]) Len() uint32 { return w.count }

// Push adds a row.
func (w *Writer[R]) Push(row *R) {
	for c := range w.cells {
		cell, to := &w.cells[c], &w.builders[c]
		from := unsafe.Add(unsafe.Pointer(row), cell.offset)
		if cell.nullable {
			from = *(*unsafe.Pointer)(from)
			to.there = append(to.there, from != nil)
		}
		to.put(cell, from)
	}
	w.count++
}

// put adds a value; nil: what stands in the place of a null.
func (b *builder) put(cell *cell, from unsafe.Pointer) {
	var zero [3]uint64
	if from == nil {
		from = unsafe.Pointer(&zero)
	}
	switch {
	case cell.tag == tagBools:
		b.bools = append(b.bools, *(*bool)(from))
	case cell.tag == tagInts:
		b.ints = append(b.ints, *(*int64)(from))
	case cell.tag == tagFloats:
		b.floats = append(b.floats, *(*float64)(from))
	case cell.kind == "text":
		b.pack.Add([]byte(*(*string)(from)))
	default:
		b.pack.Add(*(*[]byte)(from))
	}
}

// Truncate forgets the rows from `count` on.
func (w *Writer[R]) Truncate(count uint32) {
	for i := range w.builders {
		b := &w.builders[i]
		b.bools = b.bools[:min(len(b.bools), int(count))]
		b.ints = b.ints[:min(len(b.ints), int(count))]
		b.floats = b.floats[:min(len(b.floats), int(count))]
		b.there = b.there[:min(len(b.there), int(count))]
		if len(b.pack.ends) > int(count) {
			b.pack.ends = b.pack.ends[:count]
			end := uint32(0)
			if count > 0 {
				end = b.pack.ends[count-1]
			}
			b.pack.bytes = b.pack.bytes[:end]
		}
	}
	w.count = count
}

// Rows places them.
func (w *Writer[R]) Rows() Rows {
	columns := make([]Column, len(w.cells))
	for i, cell := range w.cells {
		from, to := &w.builders[i], &columns[i]
		to.tag = cell.tag
		to.valid = Bitmap(from.there)
		var list, bytes List
		switch cell.tag {
		case tagBools:
			list = Placed(from.bools)
		case tagInts:
			list = Placed(from.ints)
		case tagFloats:
			list = Placed(from.floats)
		default:
			spans := from.pack.Spans()
			list, bytes = spans.Ends, spans.Bytes
		}
		to.values = [4]uint32{list.At, list.Len, bytes.At, bytes.Len}
	}
	return Rows{w.count, Placed(columns)}
}
