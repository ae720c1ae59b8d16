;; A core module: WebAssembly, but no component.
(module (func (export "update")))
