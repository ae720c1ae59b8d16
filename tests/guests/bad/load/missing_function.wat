;; Exports both interfaces of a fold by name, without their functions.
(component
  (instance $empty)
  (export "refrain:plugin/about@0.1.0" (instance $empty))
  (export "refrain:plugin/fold@0.1.0" (instance $empty)))
