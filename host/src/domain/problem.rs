//! The error codes of the host: each with its HTTP status and its blame.

use http::StatusCode;

use super::invocation::Blame;

macro_rules! codes {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident = $code:literal, $status:ident, $blame:ident, $title:literal;
    )+) => {
        /// All codes of problems. The page of a code is `/-/problems/{code}`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All codes, in the order of their statuses.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// The code as callers see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code,)+ }
            }

            /// The HTTP status of the code.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$name => StatusCode::$status,)+ }
            }

            /// Who caused a problem with this code.
            pub fn blame(self) -> Blame {
                match self { $(Code::$name => Blame::$blame,)+ }
            }

            /// The code with the name `text`.
            pub fn named(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }

            /// A short name for people.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)+ }
            }

            /// What the code means and what to do, for its page.
            pub fn explanation(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc,)+),)+ }
            }
        }
    };
}

codes! {
    /// The request is malformed: its path, its query, its headers or its JSON. The detail names the
    /// place.
    InvalidRequest = "invalid-request", BAD_REQUEST, Client, "Invalid request";
    /// The body does not match the schema of the route or the function. `errors` lists where and
    /// why.
    ValidationFailed = "validation-failed", BAD_REQUEST, Client, "Validation failed";
    /// The plugin's function rejects its input, although the input matches the schema. The plugin
    /// wrote the detail.
    InvalidInput = "invalid-input", BAD_REQUEST, Client, "Invalid input";
    /// The webhook is not accepted: its signature is missing or wrong, or its time is too far from
    /// now. The tenant's admin API says which.
    InvalidWebhook = "invalid-webhook", BAD_REQUEST, Client, "Invalid webhook";
    /// The credential is missing, unknown, revoked or expired.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, Client, "Unauthenticated";
    /// The credential is known but lacks a required scope or role.
    InsufficientScope = "insufficient-scope", FORBIDDEN, Client, "Insufficient scope";
    /// The address does not exist, or the caller may not know that it exists.
    NotFound = "not-found", NOT_FOUND, Client, "Not found";
    /// The path exists, but not for this method. `Allow` lists the methods that it has.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, Client, "Method not allowed";
    /// The body of the request arrived too slowly.
    RequestTimeout = "request-timeout", REQUEST_TIMEOUT, Client, "Request timeout";
    /// The request contradicts the current state: a name is taken, or a version is in use.
    Conflict = "conflict", CONFLICT, Client, "Conflict";
    /// The body of the request is larger than allowed. The detail names the limit and its owner.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, Client, "Body too large";
    /// The address of the request is longer than 8 KiB.
    UriTooLong = "uri-too-long", URI_TOO_LONG, Client, "URI too long";
    /// The head of the request has more than 100 fields or 32 KiB.
    HeadersTooLarge = "headers-too-large", REQUEST_HEADER_FIELDS_TOO_LARGE, Client, "Headers too large";
    /// The content type or content coding of the body is not supported here. The detail names a
    /// supported one.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, Client, "Unsupported media type";
    /// The upload is not a component that this host can run. The detail names the place.
    InvalidComponent = "invalid-component", UNPROCESSABLE_ENTITY, Client, "Invalid component";
    /// The manifest inside the component is missing or wrong. The detail names the place.
    InvalidManifest = "invalid-manifest", UNPROCESSABLE_ENTITY, Client, "Invalid manifest";
    /// Compiling the component needed more time or memory than allowed.
    CompileLimit = "compile-limit", UNPROCESSABLE_ENTITY, Limit, "Compile limit";
    /// The manifest asks for grants that the tenant has not given. `missing` lists them.
    GrantsMissing = "grants-missing", UNPROCESSABLE_ENTITY, Client, "Grants missing";
    /// A migration of the plugin failed, or an applied one was changed. Nothing was applied.
    MigrationFailed = "migration-failed", UNPROCESSABLE_ENTITY, Client, "Migration failed";
    /// The plugin's function failed. The plugin wrote the detail.
    FunctionFailed = "function-failed", UNPROCESSABLE_ENTITY, Guest, "The function failed";
    /// There were too many requests. `Retry-After` says when to try again.
    RateLimited = "rate-limited", TOO_MANY_REQUESTS, Limit, "Rate limited";
    /// The host failed. The request id leads to the cause in the operator's log.
    Internal = "internal", INTERNAL_SERVER_ERROR, Host, "Internal error";
    /// The request uses a transfer coding other than `chunked`, which this host does not decode.
    /// Send the body as it is, with `content-length` or in chunks.
    NotImplemented = "not-implemented", NOT_IMPLEMENTED, Client, "Not implemented";
    /// The plugin stopped with a fault of its own (a trap).
    PluginTrapped = "plugin-trapped", BAD_GATEWAY, Guest, "The plugin trapped";
    /// The plugin needed more memory than its plan allows.
    PluginMemory = "plugin-memory", BAD_GATEWAY, Limit, "The plugin ran out of memory";
    /// The plugin exceeded a limit: of host calls, of the bytes that one passes, or of open
    /// resources.
    PluginLimit = "plugin-limit", BAD_GATEWAY, Limit, "The plugin went past a limit";
    /// The plugin returned an invalid or too large HTTP response. The plugin's log has the details.
    PluginInvalidResponse = "plugin-invalid-response", BAD_GATEWAY, Guest, "The plugin's response is invalid";
    /// The tenant has as many running and waiting requests as its plan allows, or the host is full.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, Limit, "Overloaded";
    /// Stored data of the host cannot be used at the moment. The request id leads to the cause in
    /// the operator's log.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, Host, "Unavailable";
    /// The tenant or the plugin was suspended.
    PluginSuspended = "plugin-suspended", SERVICE_UNAVAILABLE, Client, "The plugin is suspended";
    /// The plugin failed repeatedly on this route or in this function, so its circuit breaker is
    /// open. `Retry-After` says when the host tries it again.
    PluginUnhealthy = "plugin-unhealthy", SERVICE_UNAVAILABLE, Guest, "The plugin is unhealthy";
    /// The host is shutting down and takes no new requests.
    Draining = "draining", SERVICE_UNAVAILABLE, Host, "Draining";
    /// The plugin exceeded its CPU time.
    PluginCpu = "plugin-cpu", GATEWAY_TIMEOUT, Limit, "The plugin ran out of CPU time";
    /// The plugin did not answer in time.
    PluginTimeout = "plugin-timeout", GATEWAY_TIMEOUT, Limit, "The plugin timed out";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_every_code_with_its_status() {
        let document = include_str!("../../../docs/api.md");
        for code in Code::ALL {
            let (status, name) = (code.status().as_u16(), code.as_str());
            let is_row = |line: &&str| {
                line.starts_with(&format!("| {status} |")) && line.contains(&format!("`{name}`"))
            };
            assert!(
                document.lines().any(|line| is_row(&line)),
                "docs/api.md leaves out {status} `{name}`"
            );
        }
    }
}
