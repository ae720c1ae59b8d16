// Keeps the rows whose value is not negative.
package main

import (
	"errors"

	"refrain/transform"
)

// The input fields that are wanted, with the names and types that they have in the topic.
type event struct {
	Name  string `refrain:"name"`
	Value int64  `refrain:"value"`
}

func init() {
	transform.Export(transform.Plugin[event, event]{
		Name: "NAME",
		Doc:  "Rows with a value of at least 0.",
		Process: func(e *event, emit func(event)) error {
			if e.Name == "" {
				return errors.New("the name is empty")
			}
			if e.Value >= 0 {
				emit(*e)
			}
			return nil
		},
	})
}

func main() {}
