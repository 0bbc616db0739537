;; A component that handles requests with a core instance. The instance replaces the line `CORE`, is named `$core`,
;; and exports `memory`, `realloc`, `handle` and `done`, which runs after the host has read the response. The line `JOBS`
;; is replaced by nothing, or by the handler of jobs.
(component
  (type $types (instance
    (type $bytes (list u8))
    (type $content' (variant (case "text" string) (case "bytes" $bytes)))
    (export "content" (type (eq $content')))
  ))
  (import "mortise:plugin/types@0.1.0" (instance $types (type $types)))
  (alias export $types "content" (type $content))
  (type $http-types (instance
    (type $pair (tuple string string))
    (type $headers' (list $pair))
    (export "headers" (type $headers (eq $headers')))
    (alias outer 1 $content (type $content''))
    (export "content" (type $content (eq $content'')))
    (type $query (option string))
    (type $params (list $pair))
    (type $body-in (option $content))
    (type $request' (record
      (field "method" string) (field "route" string) (field "path" string) (field "query" $query)
      (field "params" $params) (field "headers" $headers) (field "body" $body-in)))
    (export "request" (type (eq $request')))
    (type $bytes (list u8))
    (type $channels (list string))
    (type $body' (variant
      (case "empty") (case "text" string) (case "bytes" $bytes) (case "channels" $channels)))
    (export "body" (type $body (eq $body')))
    (type $response' (record (field "status" u16) (field "headers" $headers) (field "body" $body)))
    (export "response" (type (eq $response')))
  ))
  (import "mortise:plugin/http-types@0.1.0" (instance $http-types (type $http-types)))
  (alias export $http-types "headers" (type $headers))
  (alias export $http-types "request" (type $request))
  (alias export $http-types "body" (type $body))
  (alias export $http-types "response" (type $response))

CORE

  (func $handle (param "request" $request) (result $response)
    (canon lift (core func $core "handle") (memory (core memory $core "memory"))
      (realloc (core func $core "realloc")) (post-return (core func $core "done"))))

  ;; Types get their names for the export in a component of their own, as `wit-component` does it.
  (component $shim
    (type $pair (tuple string string))
    (type $headers' (list $pair))
    (import "import-type-headers" (type $headers (eq $headers')))
    (type $bytes (list u8))
    (type $content' (variant (case "text" string) (case "bytes" $bytes)))
    (import "import-type-content" (type $content (eq $content')))
    (type $query (option string))
    (type $params (list $pair))
    (type $body-in (option $content))
    (type $request' (record
      (field "method" string) (field "route" string) (field "path" string) (field "query" $query)
      (field "params" $params) (field "headers" $headers) (field "body" $body-in)))
    (import "import-type-request" (type $request (eq $request')))
    (type $channels (list string))
    (type $body' (variant
      (case "empty") (case "text" string) (case "bytes" $bytes) (case "channels" $channels)))
    (import "import-type-body" (type $body (eq $body')))
    (type $response' (record (field "status" u16) (field "headers" $headers) (field "body" $body)))
    (import "import-type-response" (type $response (eq $response')))
    (import "import-func-handle" (func $handle (param "request" $request) (result $response)))
    (export $request-out "request" (type $request))
    (export $response-out "response" (type $response))
    (export "handle" (func $handle) (func (param "request" $request-out) (result $response-out)))
  )
  (instance $handler (instantiate $shim
    (with "import-type-headers" (type $headers))
    (with "import-type-content" (type $content))
    (with "import-type-request" (type $request))
    (with "import-type-body" (type $body))
    (with "import-type-response" (type $response))
    (with "import-func-handle" (func $handle))
  ))
  (export "mortise:plugin/http-handler@0.1.0" (instance $handler))

JOBS
)
