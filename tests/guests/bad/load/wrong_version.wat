;; Speaks a version of the contract that there is not yet.
(component
  (instance $empty)
  (export "refrain:plugin/about@0.9.0" (instance $empty))
  (export "refrain:plugin/fold@0.9.0" (instance $empty)))
