;; Output in pieces across leaves, reads beyond the archive's end, output until the limit.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $read (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32) (result i32)))
  (memory 2)
  (func (export "_start") (local $i i32)
    (drop (call $read (i32.const 60) (i32.const 0)))
    (drop (call $read (i32.const 60) (i32.const 500)))
    (drop (call $read (i32.const 700) (i32.const 3)))
    (loop $next
      (drop (call $write (i32.const 50) (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 37)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 400))))
    (drop (call $write (i32.const 0) (i32.const 60000)))))
