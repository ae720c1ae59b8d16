package wire

import "slices"

// Column is one column on the boundary.
type Column struct {
	tag    uint32 // one byte and three of padding
	values [4]uint32
	valid  List
}

const (
	tagBools = iota
	tagInts
	tagFloats
	tagSpans
)

// Spans are values of different lengths.
type Spans struct{ Ends, Bytes List }

func (c *Column) list() List { return List{c.values[0], c.values[1]} }
func (c *Column) spans() Spans {
	return Spans{List{c.values[0], c.values[1]}, List{c.values[2], c.values[3]}}
}

// Rows are rows on the boundary.
type Rows struct {
	Count   uint32
	Columns List
}

// Bitmap packs flags; nothing when all are set.
func Bitmap(flags []bool) List { return packed(flags, false) }

// Marks packs flags; nothing when none is set.
func Marks(flags []bool) List { return packed(flags, true) }

// packed packs flags; nothing unless one of them is `needed`.
func packed(flags []bool, needed bool) List {
	if !slices.Contains(flags, needed) {
		return List{}
	}
	bits := make([]byte, (len(flags)+7)/8)
	for i, flag := range flags {
		if flag {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return Placed(bits)
}

// Pack puts values of different lengths end to end.
type Pack struct {
	ends  []uint32
	bytes []byte
}

// Add adds one value.
func (p *Pack) Add(value []byte) {
	p.bytes = append(p.bytes, value...)
	p.ends = append(p.ends, uint32(len(p.bytes)))
}

// Spans places them.
func (p *Pack) Spans() Spans { return Spans{Placed(p.ends), Placed(p.bytes)} }

// Each gives every value of spans.
func (s Spans) Each(take func(i int, value []byte)) {
	bytes, start := Slice[byte](s.Bytes), uint32(0)
	for i, end := range Slice[uint32](s.Ends) {
		take(i, bytes[start:end])
		start = end
	}
}
