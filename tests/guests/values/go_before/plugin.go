// Gives the row before of the same key, and how often each word has come: all of it from the state.
package main

import "refrain/process"

type row struct {
	ID     int64    `refrain:"id"`
	Real   float64  `refrain:"real"`
	Word   string   `refrain:"word"`
	Blob   []byte   `refrain:"blob"`
	RealOr *float64 `refrain:"real_or"`
	WordOr *string  `refrain:"word_or"`
	BlobOr *[]byte  `refrain:"blob_or"`
}

type shown struct {
	Times  int64    `refrain:"times"`
	Real   float64  `refrain:"real"`
	Word   string   `refrain:"word"`
	Blob   []byte   `refrain:"blob"`
	RealOr *float64 `refrain:"real_or"`
	WordOr *string  `refrain:"word_or"`
	BlobOr *[]byte  `refrain:"blob_or"`
	ID     int64    `refrain:"id"`
	Before *int64   `refrain:"before"`
}

type state struct {
	last  *row
	words map[string]int64
	reals []float64
}

func take(s *state, r *row, to *process.Context[shown]) {
	if s.words == nil {
		s.words = map[string]int64{}
	}
	out := shown{ID: r.ID}
	if last := s.last; last != nil {
		out = shown{s.words[last.Word], last.Real, last.Word, last.Blob, last.RealOr, last.WordOr, last.BlobOr, r.ID, new(last.ID)}
	}
	s.words[r.Word]++
	s.reals = append(s.reals, r.Real)
	if len(s.reals) > 3 {
		s.reals = s.reals[1:]
	}
	kept := *r
	s.last = &kept
	to.Emit(out)
}

func init() {
	process.Export(process.Plugin[state, shown]{
		Name:    "before",
		Inputs:  []process.Input[state, shown]{process.From("rows", take)},
		Untimed: true,
	})
}

func main() {}
