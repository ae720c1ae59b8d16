;; Wants what no grant gives.
(component
  (import "wasi:http/outgoing-handler@0.2.0" (instance (export "handle" (func (result u64)))))
  (instance $empty)
  (export "refrain:plugin/about@0.1.0" (instance $empty))
  (export "refrain:plugin/fold@0.1.0" (instance $empty)))
