;; Accesses across leaves in every width and direction, at the first and the last byte of memory.
(module
  (memory 1) (memory 1)
  (func $load (param $at i32) (result i64)
    (i64.add (i64.load (local.get $at))
      (i64.add (i64.load32_s (local.get $at)) (i64.load16_s (local.get $at)))))
  (func (export "_start") (local $at i32) (local $sum i64)
    (local.set $at (i32.const 120))
    (loop $next
      (i64.store (local.get $at) (i64.extend_i32_u (i32.mul (local.get $at) (i32.const 0x9e3779b1))))
      (i32.store16 (i32.add (local.get $at) (i32.const 127)) (local.get $at))
      (i32.store 1 (i32.add (local.get $at) (i32.const 125)) (local.get $at))
      (local.set $sum (i64.add (local.get $sum) (call $load (local.get $at))))
      (local.set $sum (i64.add (local.get $sum) (i64.load 1 (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 140))))
    (i64.store (i32.const 0) (local.get $sum))
    (i64.store (i32.const 65528) (local.get $sum))
    (i64.store (i32.const 65529) (local.get $sum))))
