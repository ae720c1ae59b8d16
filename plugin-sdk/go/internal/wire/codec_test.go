package wire

import (
	"math"
	"reflect"
	"testing"
	"time"
)

type tree struct {
	value    float64
	children []*tree
}

type everything struct {
	flag    bool
	small   int8
	Number  int64
	real    float64
	text    string
	bytes   []byte
	words   []string
	counts  map[string]int64
	byKey   map[[2]int32]*float64
	maybe   *string
	root    *tree
	at      time.Time
	nothing struct{}
	pairs   [2]struct{ a, b uint16 }
}

func full() everything {
	nan, text := math.NaN(), "ß\x00 \xff"
	return everything{
		true, -3, math.MinInt64, math.Copysign(0, -1), "ñ 日本 🂡", []byte{0, 255, 0x80}, []string{"", "a"},
		map[string]int64{"z": 1, "": 2, "é": 3}, map[[2]int32]*float64{{1, -1}: &nan, {0, 7}: nil}, &text,
		&tree{nan, []*tree{{1, nil}, nil}}, time.UnixMicro(-5).UTC(), struct{}{}, [2]struct{ a, b uint16 }{{1, 2}, {3, 4}},
	}
}

func TestAStateComesBackWhole(t *testing.T) {
	codec := NewCodec[everything]()
	for _, state := range []everything{{}, full()} {
		bytes := string(codec.Encode(&state))
		back := full()
		if why := codec.Decode([]byte(bytes), &back); why != nil {
			t.Fatal(why)
		}
		if again := string(codec.Encode(&back)); again != bytes {
			t.Fatalf("%q became %q", bytes, again)
		}
	}
	state, back := full(), everything{}
	_ = codec.Decode(codec.Encode(&state), &back)
	if !math.IsNaN(*back.byKey[[2]int32{1, -1}]) || !math.IsNaN(back.root.value) || !math.Signbit(back.real) {
		t.Fatal("floats lost their bits")
	}
	// All but NaN can be compared.
	state.byKey, state.root, back.byKey, back.root = nil, nil, nil, nil
	if !reflect.DeepEqual(state, back) {
		t.Fatalf("%v became %v", state, back)
	}
}

func TestEqualStatesHaveEqualBytes(t *testing.T) {
	codec := NewCodec[map[string]int64]()
	words := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	forth, back := map[string]int64{}, map[string]int64{}
	for i := range words {
		forth[words[i]] = int64(i)
		back[words[len(words)-1-i]] = int64(len(words) - 1 - i)
	}
	if string(codec.Encode(&forth)) != string(codec.Encode(&back)) {
		t.Fatal("the order of a map is seen")
	}
}

func TestPlainStatesAreAsTheyLieInMemory(t *testing.T) {
	type totals struct {
		rows int64
		sums [2]float64
	}
	codec := NewCodec[totals]()
	state := totals{7, [2]float64{math.NaN(), -1}}
	fast := string(codec.Encode(&state))
	codec.plain = false
	if slow := string(codec.Encode(&state)); slow != fast {
		t.Fatalf("%q is not %q", slow, fast)
	}
}

func TestBytesThatAreNoStateAreRefused(t *testing.T) {
	codec := NewCodec[everything]()
	state := full()
	bytes := append([]byte(nil), codec.Encode(&state)...)
	for end := range bytes {
		if codec.Decode(bytes[:end], new(everything)) == nil {
			t.Fatalf("%d of %d bytes are taken", end, len(bytes))
		}
	}
	if codec.Decode(append(bytes, 0), new(everything)) == nil {
		t.Fatal("a byte too many is taken")
	}
}

func TestWhatCannotBeSavedIsRefused(t *testing.T) {
	refused := func(name string, make func()) {
		defer func() {
			if recover() == nil {
				t.Errorf("%s is taken", name)
			}
		}()
		make()
	}
	refused("a function", func() { NewCodec[struct{ f func() }]() })
	refused("an interface", func() { NewCodec[struct{ any any }]() })
	refused("a float as a key", func() { NewCodec[map[float64]bool]() })
}
