// Package talk says lines in the log of the host. A release has no voice: it imports nothing, and what is said is dropped.
// `refrain dev` and `refrain plugin build --talk` build a plugin with one; then a panic says its message and line, too.
package talk

// Level is how loud a line is.
type Level int32

const (
	Debug Level = iota // for the author alone
	Info               // for whoever looks
	Warn               // something is odd
	Error              // something is wrong
)
