;; WASI preview 1 as Go's runtime asks for it, answered by constants: time stands still, random bytes are zero, there
;; are no arguments, no environment and no files. What is written to the console is taken and dropped; the end of the
;; program is a trap. A plugin built with this imports nothing and is a pure function of its rows.
(module
  (import "env" "memory" (memory 0))
  ;; size of what there is: none
  (func $nothing_of (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (i32.const 0))
  (func $nothing_in (param i32 i32) (result i32) (i32.const 0))
  (export "args_sizes_get" (func $nothing_of))
  (export "args_get" (func $nothing_in))
  (export "environ_sizes_get" (func $nothing_of))
  (export "environ_get" (func $nothing_in))
  ;; the first second of 1970
  (func (export "clock_time_get") (param i32 i64 i32) (result i32)
    (i64.store (local.get 2) (i64.const 1))
    (i32.const 0))
  (func (export "clock_res_get") (param i32 i32) (result i32)
    (i64.store (local.get 1) (i64.const 1))
    (i32.const 0))
  (func (export "random_get") (param $at i32) (param $bytes i32) (result i32)
    (memory.fill (local.get $at) (i32.const 0) (local.get $bytes))
    (i32.const 0))
  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) (unreachable))
  ;; bad descriptor
  (func $one (param i32) (result i32) (i32.const 8))
  (func $two (param i32 i32) (result i32) (i32.const 8))
  (func $three (param i32 i32 i32) (result i32) (i32.const 8))
  (export "fd_close" (func $one))
  (export "fd_fdstat_get" (func $two))
  (export "fd_fdstat_set_flags" (func $two))
  (export "fd_prestat_get" (func $two))
  (export "fd_prestat_dir_name" (func $three))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  ;; all of it was written: the sum of the lengths of the parts
  (func (export "fd_write") (param $fd i32) (param $parts i32) (param $count i32) (param $written i32) (result i32)
    (local $sum i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (local.get $parts))))
        (local.set $parts (i32.add (local.get $parts) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $written) (local.get $sum))
    (i32.const 0))
  ;; nothing will ever happen that one could wait for
  (func (export "poll_oneoff") (param i32 i32 i32 i32) (result i32) (unreachable)))
