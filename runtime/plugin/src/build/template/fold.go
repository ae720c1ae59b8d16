// Counts the rows of each key and sums one of their fields.
package main

import "refrain/fold"

// The input fields that are wanted, with the names and types that they have in the topic.
type event struct {
	Value int64 `refrain:"value"`
}

// What is kept for each key and window.
type totals struct {
	Rows, ValueSum int64
}

// The fields of the view, beside the key and the window.
type summary struct {
	Rows      int64   `refrain:"rows"`
	ValueMean float64 `refrain:"value_mean"`
}

func init() {
	fold.Export(fold.Plugin[event, totals, summary]{
		Name: "NAME",
		Doc:  "How many rows there were and the mean of their value.",
		Update: func(t *totals, e *event) {
			t.Rows++
			t.ValueSum += e.Value
		},
		Evaluate: func(t *totals) (summary, bool) {
			return summary{t.Rows, float64(t.ValueSum) / float64(max(t.Rows, 1))}, true
		},
	})
}

func main() {}
