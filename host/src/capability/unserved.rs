//! The interfaces of the contract that this host does not serve yet. They are linked, so that a plugin which imports
//! one loads, and every call answers a typed error that says so.

use wasmtime::component::{HasData, Linker};

use super::bindings::jobs::NewJob;
use super::bindings::types::Content;
use super::bindings::{crypto, email, events, jobs, realtime, types};
use super::{HasCapabilities, Invocation};

/// What an unserved interface sees of its invocation.
pub struct UnservedView<'a> {
    invocation: &'a mut Invocation,
}

struct Unserved;

impl HasData for Unserved {
    type Data<'a> = UnservedView<'a>;
}

/// Links the interfaces.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    types::add_to_linker::<T, Unserved>(linker, view)?;
    super::bindings::http_types::add_to_linker::<T, Unserved>(linker, view)?;
    crypto::add_to_linker::<T, Unserved>(linker, view)?;
    email::add_to_linker::<T, Unserved>(linker, view)?;
    events::add_to_linker::<T, Unserved>(linker, view)?;
    jobs::add_to_linker::<T, Unserved>(linker, view)?;
    realtime::add_to_linker::<T, Unserved>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> UnservedView<'_> {
    UnservedView {
        invocation: &mut data.capabilities().invocation,
    }
}

/// The text of every refusal. Transactions use it too, for jobs and events that would ride on them.
pub fn message(what: &str) -> String {
    format!("this host does not serve {what} yet")
}

impl UnservedView<'_> {
    fn refuse<T, E>(
        &mut self,
        what: &str,
        error: impl FnOnce(String) -> E,
    ) -> wasmtime::Result<Result<T, E>> {
        self.invocation.charge_host_call(0)?;
        Ok(Err(error(message(what))))
    }
}

impl types::Host for UnservedView<'_> {}

impl super::bindings::http_types::Host for UnservedView<'_> {}

impl crypto::Host for UnservedView<'_> {
    async fn hash_password(&mut self, _: String) -> wasmtime::Result<Result<String, crypto::Error>> {
        self.refuse("cryptography", crypto::Error::NotGranted)
    }

    async fn verify_password(
        &mut self,
        _: String,
        _: String,
    ) -> wasmtime::Result<Result<bool, crypto::Error>> {
        self.refuse("cryptography", crypto::Error::NotGranted)
    }

    async fn sign_token(&mut self, _: String, _: u32) -> wasmtime::Result<Result<String, crypto::Error>> {
        self.refuse("cryptography", crypto::Error::NotGranted)
    }

    async fn verify_token(&mut self, _: String) -> wasmtime::Result<Result<String, crypto::Error>> {
        self.refuse("cryptography", crypto::Error::NotGranted)
    }
}

impl email::Host for UnservedView<'_> {
    async fn send(&mut self, _: email::Message) -> wasmtime::Result<Result<String, email::Error>> {
        self.refuse("email", email::Error::Unavailable)
    }
}

impl events::Host for UnservedView<'_> {
    async fn publish(&mut self, _: String, _: String) -> wasmtime::Result<Result<(), events::Error>> {
        self.refuse("events", events::Error::Unavailable)
    }
}

impl jobs::Host for UnservedView<'_> {
    async fn enqueue(&mut self, _: NewJob) -> wasmtime::Result<Result<String, jobs::Error>> {
        self.refuse("jobs", jobs::Error::Unavailable)
    }
}

impl realtime::Host for UnservedView<'_> {
    async fn publish(&mut self, _: String, _: Content) -> wasmtime::Result<Result<(), realtime::Error>> {
        self.refuse("realtime", realtime::Error::Unavailable)
    }

    async fn send(&mut self, _: String, _: Content) -> wasmtime::Result<Result<(), realtime::Error>> {
        self.refuse("realtime", realtime::Error::Unavailable)
    }

    async fn subscribe(&mut self, _: String, _: String) -> wasmtime::Result<Result<(), realtime::Error>> {
        self.refuse("realtime", realtime::Error::Unavailable)
    }

    async fn unsubscribe(&mut self, _: String, _: String) -> wasmtime::Result<Result<(), realtime::Error>> {
        self.refuse("realtime", realtime::Error::Unavailable)
    }

    async fn close(&mut self, _: String, _: String) -> wasmtime::Result<Result<(), realtime::Error>> {
        self.refuse("realtime", realtime::Error::Unavailable)
    }
}
