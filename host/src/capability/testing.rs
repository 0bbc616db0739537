//! Test invocations, for host calls without WebAssembly.

use std::sync::Arc;

use tokio::time::Instant;

use super::{ActiveVersion, Invocation};
use crate::domain::clock::{Clock as _, SystemClock};
use crate::domain::grant::Grants;
use crate::domain::id::{InvocationId, TenantId, VersionDigest};
use crate::domain::invocation::{Trigger, Usage};
use crate::domain::limits::Limits;

/// An invocation of the plugin `plugin` of a new tenant `tenant`, without settings or secrets.
pub fn invocation(limits: Limits, grants: Grants) -> Invocation {
    let wall = limits.wall.0;
    Invocation {
        id: InvocationId::generate(),
        active: Arc::new(ActiveVersion {
            snapshot: 0,
            tenant: TenantId::generate(),
            tenant_name: "tenant".parse().expect("it is a tenant's name"),
            plugin: "plugin".parse().expect("it is a plugin's name"),
            digest: VersionDigest::of(b"component"),
            version: "1.0.0".to_owned(),
            limits: Arc::new(limits),
            grants: Arc::new(grants),
            config: Arc::default(),
            secrets: Arc::default(),
            jobs: Arc::default(),
        }),
        trigger: Trigger::Http,
        principal: None,
        call_depth: 0,
        traceparent: None,
        remote_address: None,
        started_at: SystemClock.now(),
        deadline: Instant::now() + wall,
        clock: Arc::new(SystemClock),
        cpu_time: Arc::default(),
        usage: Usage::default(),
        held: 0,
        job: None,
        last_calls: Default::default(),
        log_lines: Vec::new(),
        revealed: Vec::new(),
    }
}
