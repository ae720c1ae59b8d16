;; `describe` answers a number.
(component
  (core module $m (func (export "describe") (result i32) i32.const 7))
  (core instance $i (instantiate $m))
  (func $describe (result u32) (canon lift (core func $i "describe")))
  (instance $about (export "describe" (func $describe)))
  (instance $empty)
  (export "refrain:plugin/about@0.1.0" (instance $about))
  (export "refrain:plugin/fold@0.1.0" (instance $empty)))
