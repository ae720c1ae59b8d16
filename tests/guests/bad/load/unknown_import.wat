;; Wants a clock.
(component
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance (export "now" (func (result u64)))))
  (instance $empty)
  (export "refrain:plugin/about@0.1.0" (instance $empty))
  (export "refrain:plugin/fold@0.1.0" (instance $empty)))
