;; Exports `about` by name, without its functions, and neither `fold` nor `transform`.
(component
  (instance $empty)
  (export "refrain:plugin/about@0.1.0" (instance $empty)))
