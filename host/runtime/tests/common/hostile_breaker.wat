;; A breaker component that does as its callers' latencies say. Its one breaker is open or closed, by `trip` and `reset`;
;; that is what its snapshot holds: one byte. Answers lie at fixed places: 2048 is kept zero, which most answers are.
(module
  (memory (export "memory") 2)
  (global $open (mut i32) (i32.const 0))
  (global $calls (mut i32) (i32.const 0))
  (global $unsavable (mut i32) (i32.const 0))
  (global $heap (mut i32) (i32.const 65536))

  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const 0x1fff8)))
    (if (i32.gt_u (i32.add (local.get $at) (local.get 3)) (i32.const 131072))
      (then (local.set $at (i32.const 65536))))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (local.get $at))

  (func (export "softfuse:breaker/breaker@0.1.0#load-policy") (param i32 i32) (result i32) (i32.const 2048))
  (func (export "softfuse:breaker/breaker@0.1.0#drop-policy") (param i32))
  (func (export "softfuse:breaker/breaker@0.1.0#create") (param i32 i32 i32 i64 i64) (result i32)
    (global.set $open (i32.const 0)) (i32.const 2048))
  (func (export "softfuse:breaker/breaker@0.1.0#drop-breaker") (param i32))

  ;; A rejection at 4096 + 16: open, no time to wait, tripped 7 times, no reason.
  (func $reject (i32.store8 (i32.const 4096) (i32.const 1))
    (i32.store8 (i32.const 4112) (i32.const 1)) (i64.store (i32.const 4136) (i64.const 7)))

  (func (export "softfuse:breaker/breaker@0.1.0#before-call") (param i32 i64) (result i32)
    (call $reject)
    (select (i32.const 4096) (i32.const 2048) (global.get $open)))

  ;; A settlement at 7168 with an event: closed to open, tripped by the host for the reason "so say I", until 60 s.
  (data (i32.const 7424) "so say I")
  (func $opens (result i32)
    (global.set $open (i32.const 1)) (global.set $unsavable (i32.const 1))
    (i32.store8 (i32.const 7184) (i32.const 1)) (i32.store8 (i32.const 7201) (i32.const 1))
    (i32.store8 (i32.const 7208) (i32.const 3))
    (i32.store (i32.const 7212) (i32.const 7424)) (i32.store (i32.const 7216) (i32.const 8))
    (i32.store8 (i32.const 7232) (i32.const 1)) (i64.store (i32.const 7240) (i64.const 60000000000))
    (i32.const 7168))

  (func (export "softfuse:breaker/breaker@0.1.0#record-outcome")
    (param i32 i64 i32) (param $latency i64) (param i32 f64 i32 i64 i64) (result i32)
    (if (i64.eq (local.get $latency) (i64.const 666)) (then unreachable))
    (if (i64.eq (local.get $latency) (i64.const 667)) (then (loop $ever (br $ever))))
    (if (i64.eq (local.get $latency) (i64.const 670)) (then
      (block $full (loop $more
        (br_if $full (i32.eq (memory.grow (i32.const 64)) (i32.const -1))) (br $more)))
      unreachable))
    (if (i64.eq (local.get $latency) (i64.const 671)) (then (return (call $opens))))
    ;; An error, unknown-breaker, at 3072; unknown-permit at 3104.
    (i32.store8 (i32.const 3072) (i32.const 1))
    (i32.store8 (i32.const 3104) (i32.const 1)) (i32.store8 (i32.const 3112) (i32.const 1))
    (if (i64.eq (local.get $latency) (i64.const 668)) (then (return (i32.const 3072))))
    (if (i64.eq (local.get $latency) (i64.const 669)) (then (return (i32.const 3104))))
    (i32.const 2048))

  (func (export "softfuse:breaker/breaker@0.1.0#record-judged-outcome")
    (param i32 i64 i32 i64 i32 f64 i32 i64 i32 i32 i64) (result i32) (i32.const 2048))
  (func (export "softfuse:breaker/breaker@0.1.0#report-quality") (param i32 i64 i32 f64 i64) (result i32)
    (i32.const 2048))
  (func (export "softfuse:breaker/breaker@0.1.0#permit-standing") (param i32 i64 i64) (result i32) (i32.const 0))

  ;; The same rejection as an option, at 5000.
  (func (export "softfuse:breaker/breaker@0.1.0#would-refuse") (param i32 i64) (result i32)
    (if (i32.eqz (global.get $open)) (then (return (i32.const 2048))))
    (i64.store (i32.const 5000) (i64.const 1)) (i64.store (i32.const 5008) (i64.const 1))
    (i64.store (i32.const 5032) (i64.const 7))
    (i32.const 5000))

  ;; It knows of no status, which is nonsense for a breaker that it made.
  (func (export "softfuse:breaker/breaker@0.1.0#status") (param i32 i64) (result i32) (i32.const 2048))
  (func (export "softfuse:breaker/breaker@0.1.0#reset") (param i32 i64) (result i32)
    (global.set $open (i32.const 0)) (i32.const 2048))
  (func (export "softfuse:breaker/breaker@0.1.0#set-operator-state") (param i32 i32 i64) (result i32) (i32.const 2048))
  (func (export "softfuse:breaker/breaker@0.1.0#trip") (param i32 i32 i32 i32 i64 i64) (result i32)
    (global.set $open (i32.const 1)) (i32.const 2048))
  (func (export "softfuse:breaker/breaker@0.1.0#snapshot") (param i32 i64) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (global.get $unsavable) (then unreachable))
    ;; AT SNAPSHOT
    (i32.store8 (i32.const 6016) (global.get $open))
    (i32.store (i32.const 6000) (i32.const 1))
    (i32.store (i32.const 6004) (i32.const 6016)) (i32.store (i32.const 6008) (i32.const 1))
    (i32.const 6000))
  (func (export "softfuse:breaker/breaker@0.1.0#restore") (param i32) (param $bytes i32) (param i32 i64 i64) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    ;; AT RESTORE
    (global.set $open (i32.load8_u (local.get $bytes)))
    (i32.const 2048))
  (func (export "softfuse:breaker/breaker@0.1.0#grant-lease") (param i32 i64) (result i32) (i32.const 2048))
  (func (export "softfuse:breaker/breaker@0.1.0#record-leased")
    (param i32 i64 i32 i64 i64 i32) (result i32) (i32.const 2048))
  (func (export "softfuse:breaker/breaker@0.1.0#record-leased-details")
    (param i32 i64 i32 i32 i32 i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 2048)))
