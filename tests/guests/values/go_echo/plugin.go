// Gives back each row as it is.
package main

import "refrain/transform"

type row struct {
	ID      int64                `refrain:"id"`
	Flag    bool                 `refrain:"flag"`
	Count   int64                `refrain:"count"`
	Real    float64              `refrain:"real"`
	Word    string               `refrain:"word"`
	Blob    []byte               `refrain:"blob"`
	At      transform.Timestamp  `refrain:"at"`
	FlagOr  *bool                `refrain:"flag_or"`
	CountOr *int64               `refrain:"count_or"`
	RealOr  *float64             `refrain:"real_or"`
	WordOr  *string              `refrain:"word_or"`
	BlobOr  *[]byte              `refrain:"blob_or"`
	AtOr    *transform.Timestamp `refrain:"at_or"`
}

func init() {
	transform.Export(transform.Plugin[row, row]{
		Name: "echo",
		Process: func(r *row, emit func(row)) error {
			emit(*r)
			return nil
		},
	})
}

func main() {}
