//! Tests of the public API before the plugin: rejections with their problems, and what reaches the
//! plugin.

mod bodies;
mod credentials;
pub mod load;
mod paths;
mod problems;
mod replaced;

/// The manifest of the guest `echo`, with one route of each kind.
const MANIFEST: &str = "
[plugin]
name = 'echo'
version = '1.0.0'

[[route]]
method = 'GET'
path = '/open/{id}'
auth = 'public'

[[route]]
method = 'POST'
path = '/open/{id}'
auth = 'public'

[[route]]
method = 'POST'
path = '/checked'
auth = 'public'
request = 'line.json'

[[route]]
method = 'GET'
path = '/mine'
auth = ['api-key']

[[route]]
method = 'GET'
path = '/scoped'
auth = ['api-key']
scopes = ['orders:read', 'orders:write']

[[route]]
method = 'GET'
path = '/seldom'
auth = ['api-key']
rate = '2/min'

[[route]]
method = 'GET'
path = '/promised'
auth = 'public'
response = 'line.json'
";

/// The request schema of `/checked` and the response schema of `/promised`.
const LINE: (&str, &str) = (
    "line.json",
    r#"{
        "type": "object",
        "properties": {
            "quantity": { "type": "integer", "minimum": 1 },
            "product": { "type": "object", "properties": { "id": { "type": "string" } } }
        },
        "required": ["quantity"]
    }"#,
);
