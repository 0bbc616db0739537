
  ;; A handler of jobs, which calls `run` of the core instance with the job as 15 numbers.
  (type $failure-types (instance
    (type $later (tuple u64 string))
    (type $failure' (variant (case "retry" string) (case "retry-after" $later) (case "discard" string)))
    (export "failure" (type (eq $failure')))
  ))
  (import "mortise:plugin/failures@0.1.0" (instance $failures (type $failure-types)))
  (alias export $failures "failure" (type $failure))
  (type $event-origin (record (field "id" string) (field "topic" string) (field "source" string)))
  (type $origin (variant (case "enqueued") (case "schedule" string) (case "event" $event-origin)))
  (type $job (record
    (field "id" string) (field "name" string) (field "payload" string) (field "origin" $origin)
    (field "attempt" u32) (field "max-attempts" u32)))
  (type $outcome (result (error $failure)))
  (func $run (param "job" $job) (result $outcome)
    (canon lift (core func $core "run") (memory (core memory $core "memory"))
      (realloc (core func $core "realloc"))))

  (component $job-shim
    (type $later (tuple u64 string))
    (type $failure' (variant (case "retry" string) (case "retry-after" $later) (case "discard" string)))
    (import "import-type-failure" (type $failure (eq $failure')))
    (type $event-origin' (record (field "id" string) (field "topic" string) (field "source" string)))
    (import "import-type-event-origin" (type $event-origin (eq $event-origin')))
    (type $origin' (variant (case "enqueued") (case "schedule" string) (case "event" $event-origin)))
    (import "import-type-origin" (type $origin (eq $origin')))
    (type $job' (record
      (field "id" string) (field "name" string) (field "payload" string) (field "origin" $origin)
      (field "attempt" u32) (field "max-attempts" u32)))
    (import "import-type-job" (type $job (eq $job')))
    (type $outcome (result (error $failure)))
    (import "import-func-run" (func $run (param "job" $job) (result $outcome)))
    (export $failure-out "failure" (type $failure))
    (export $event-origin-out "event-origin" (type $event-origin))
    ;; What an exported type contains has to be exported as well.
    (type $origin-out' (variant (case "enqueued") (case "schedule" string) (case "event" $event-origin-out)))
    (export $origin-out "origin" (type $origin-out'))
    (type $job-out' (record
      (field "id" string) (field "name" string) (field "payload" string) (field "origin" $origin-out)
      (field "attempt" u32) (field "max-attempts" u32)))
    (export $job-out "job" (type $job-out'))
    (type $outcome-out (result (error $failure-out)))
    (export "run" (func $run) (func (param "job" $job-out) (result $outcome-out)))
  )
  (instance $job-handler (instantiate $job-shim
    (with "import-type-failure" (type $failure))
    (with "import-type-event-origin" (type $event-origin))
    (with "import-type-origin" (type $origin))
    (with "import-type-job" (type $job))
    (with "import-func-run" (func $run))
  ))
  (export "mortise:plugin/job-handler@0.1.0" (instance $job-handler))
