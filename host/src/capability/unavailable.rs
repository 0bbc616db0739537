//! The interfaces of the contract that this host does not implement yet. They are linked, so that a
//! plugin that imports one loads. Every call returns a typed error.

use wasmtime::component::{HasData, Linker};

use super::bindings::types::Content;
use super::bindings::{v0_1, v0_2};
use super::{HasCapabilities, Invocation};

/// The part of the invocation that these calls may use.
pub struct UnavailableCapabilitiesView<'a> {
    invocation: &'a mut Invocation,
}

struct UnavailableCapabilities;

impl HasData for UnavailableCapabilities {
    type Data<'a> = UnavailableCapabilitiesView<'a>;
}

/// Links the interfaces.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    for types in v0_1::TYPES {
        linker.instance(types)?;
    }
    v0_1::http_types::add_to_linker::<T, UnavailableCapabilities>(linker, view)?;
    v0_1::crypto::add_to_linker::<T, UnavailableCapabilities>(linker, view)?;
    v0_1::realtime::add_to_linker::<T, UnavailableCapabilities>(linker, view)?;
    v0_2::types::add_to_linker::<T, UnavailableCapabilities>(linker, view)?;
    v0_2::failures::add_to_linker::<T, UnavailableCapabilities>(linker, view)?;
    v0_2::http_types::add_to_linker::<T, UnavailableCapabilities>(linker, view)?;
    v0_2::crypto::add_to_linker::<T, UnavailableCapabilities>(linker, view)?;
    v0_2::realtime::add_to_linker::<T, UnavailableCapabilities>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> UnavailableCapabilitiesView<'_> {
    UnavailableCapabilitiesView {
        invocation: &mut data.capabilities().invocation,
    }
}

/// The text of every such error. Transactions also use it, for messages on realtime channels.
pub fn message(what: &str) -> String {
    format!("this host does not serve {what} yet")
}

impl UnavailableCapabilitiesView<'_> {
    fn refuse<T, E>(
        &mut self,
        what: &str,
        error: impl FnOnce(String) -> E,
    ) -> wasmtime::Result<Result<T, E>> {
        self.invocation.charge_host_call(0)?;
        Ok(Err(error(message(what))))
    }
}

impl v0_2::types::Host for UnavailableCapabilitiesView<'_> {}

impl v0_2::failures::Host for UnavailableCapabilitiesView<'_> {}

impl v0_1::crypto::Host for UnavailableCapabilitiesView<'_> {
    async fn hash_password(&mut self, _: String) -> wasmtime::Result<Result<String, v0_1::crypto::Error>> {
        self.refuse("cryptography", v0_1::crypto::Error::NotGranted)
    }

    async fn verify_password(
        &mut self,
        _: String,
        _: String,
    ) -> wasmtime::Result<Result<bool, v0_1::crypto::Error>> {
        self.refuse("cryptography", v0_1::crypto::Error::NotGranted)
    }

    async fn sign_token(
        &mut self,
        _: String,
        _: u32,
    ) -> wasmtime::Result<Result<String, v0_1::crypto::Error>> {
        self.refuse("cryptography", v0_1::crypto::Error::NotGranted)
    }

    async fn verify_token(&mut self, _: String) -> wasmtime::Result<Result<String, v0_1::crypto::Error>> {
        self.refuse("cryptography", v0_1::crypto::Error::NotGranted)
    }
}

impl v0_2::crypto::Host for UnavailableCapabilitiesView<'_> {
    async fn hash_password(&mut self, _: String) -> wasmtime::Result<Result<String, v0_2::crypto::Error>> {
        self.refuse("cryptography", v0_2::crypto::Error::NotGranted)
    }

    async fn verify_password(
        &mut self,
        _: String,
        _: String,
    ) -> wasmtime::Result<Result<v0_2::crypto::PasswordCheck, v0_2::crypto::Error>> {
        self.refuse("cryptography", v0_2::crypto::Error::NotGranted)
    }

    async fn sign_token(
        &mut self,
        _: v0_2::crypto::NewToken,
    ) -> wasmtime::Result<Result<String, v0_2::crypto::Error>> {
        self.refuse("cryptography", v0_2::crypto::Error::NotGranted)
    }

    async fn verify_token(
        &mut self,
        _: String,
        _: String,
    ) -> wasmtime::Result<Result<String, v0_2::crypto::Error>> {
        self.refuse("cryptography", v0_2::crypto::Error::NotGranted)
    }

    async fn verify_signature(
        &mut self,
        _: v0_2::crypto::SignatureAlgorithm,
        _: String,
        _: Vec<u8>,
        _: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, v0_2::crypto::Error>> {
        self.refuse("cryptography", v0_2::crypto::Error::NotGranted)
    }

    async fn random_bytes(&mut self, _: u32) -> wasmtime::Result<Result<Vec<u8>, v0_2::crypto::Error>> {
        self.refuse("cryptography", v0_2::crypto::Error::NotGranted)
    }
}

macro_rules! serve {
    ($contract:ident) => {
        impl $contract::http_types::Host for UnavailableCapabilitiesView<'_> {}

        impl $contract::realtime::Host for UnavailableCapabilitiesView<'_> {
            async fn publish(
                &mut self,
                _: String,
                _: Content,
            ) -> wasmtime::Result<Result<(), $contract::realtime::Error>> {
                self.refuse("realtime", $contract::realtime::Error::Unavailable)
            }

            async fn send(
                &mut self,
                _: String,
                _: Content,
            ) -> wasmtime::Result<Result<(), $contract::realtime::Error>> {
                self.refuse("realtime", $contract::realtime::Error::Unavailable)
            }

            async fn subscribe(
                &mut self,
                _: String,
                _: String,
            ) -> wasmtime::Result<Result<(), $contract::realtime::Error>> {
                self.refuse("realtime", $contract::realtime::Error::Unavailable)
            }

            async fn unsubscribe(
                &mut self,
                _: String,
                _: String,
            ) -> wasmtime::Result<Result<(), $contract::realtime::Error>> {
                self.refuse("realtime", $contract::realtime::Error::Unavailable)
            }

            async fn close(
                &mut self,
                _: String,
                _: String,
            ) -> wasmtime::Result<Result<(), $contract::realtime::Error>> {
                self.refuse("realtime", $contract::realtime::Error::Unavailable)
            }
        }
    };
}

serve!(v0_1);
serve!(v0_2);
