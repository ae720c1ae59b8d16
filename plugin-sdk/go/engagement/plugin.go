// Views, likes and completions of content, with the time watched and the share of views that were completed.
package main

import "refrain/fold"

type event struct {
	Kind    string `refrain:"kind"`
	WatchMs int64  `refrain:"watch_ms"`
}

type totals struct {
	views, likes, completes, watchMs int64
}

type engagement struct {
	Views          int64   `refrain:"views"`
	Likes          int64   `refrain:"likes"`
	Completes      int64   `refrain:"completes"`
	WatchMs        int64   `refrain:"watch_ms"`
	CompletionRate float64 `refrain:"completion_rate"`
}

func update(t *totals, e *event) {
	switch e.Kind {
	case "view":
		t.views++
	case "like":
		t.likes++
	case "complete":
		t.completes++
	}
	t.watchMs += e.WatchMs
}

func evaluate(t *totals) (engagement, bool) {
	rate := 0.0
	if t.views > 0 {
		rate = float64(t.completes) / float64(t.views)
	}
	return engagement{t.views, t.likes, t.completes, t.watchMs, rate}, true
}

func init() {
	fold.Export(fold.Plugin[event, totals, engagement]{
		Name:     "engagement",
		Doc:      "How much a piece of content was viewed, liked, watched and completed.",
		Update:   update,
		Evaluate: evaluate,
	})
}

func main() {}
