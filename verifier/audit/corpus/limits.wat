;; Grows memory to the page limit and recurses to the slot limit.
(module
  (memory 1 20)
  (func $down (param $n i32) (result i32) (local i64 i64 i64)
    (if (result i32) (i32.eqz (local.get $n)) (then (i32.const 0))
      (else (i32.add (i32.const 1) (call $down (i32.sub (local.get $n) (i32.const 1)))))))
  (func (export "_start")
    (loop $grow (br_if $grow (i32.ne (memory.grow (i32.const 3)) (i32.const -1))))
    (i32.store (i32.const 4) (memory.grow (i32.const 0)))
    (i32.store (i32.const 0) (call $down (i32.const 20)))
    (i32.store (i32.const 0) (call $down (i32.const 2000)))))
