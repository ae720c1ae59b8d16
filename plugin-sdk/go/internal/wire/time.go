package wire

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Timestamp is microseconds since 1970, UTC.
type Timestamp int64

// Plus is so much later, or earlier; at the end of time, the end.
func (t Timestamp) Plus(span Span) Timestamp {
	sum := t + Timestamp(span)
	switch {
	case span > 0 && sum < t:
		return math.MaxInt64
	case span < 0 && sum > t:
		return math.MinInt64
	}
	return sum
}

// Span is a length of time in microseconds, may be negative.
type Span int64

var units = []struct {
	name string
	us   uint64
}{{"d", 86_400_000_000}, {"h", 3_600_000_000}, {"m", 60_000_000}, {"s", 1_000_000}, {"ms", 1_000}, {"us", 1}}

// ParseSpan reads an option that is a length of time: a number and one of us, ms, s, m, h, d, as in "90s".
func ParseSpan(text string) (Span, error) {
	end := max(strings.IndexAny(text, "dhmsu"), 0)
	count, why := strconv.ParseInt(strings.TrimSpace(text[:end]), 10, 64)
	for _, unit := range units {
		if why != nil || text[end:] != unit.name {
			continue
		}
		size := uint64(max(count, -count))
		high, low := bits.Mul64(size, unit.us)
		if high == 0 && low <= math.MaxInt64 {
			return Span(count * int64(unit.us)), nil
		}
	}
	return 0, fmt.Errorf("`%s` is not a length of time, as in \"90s\"", text)
}
