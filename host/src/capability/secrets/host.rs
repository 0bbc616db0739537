//! The host calls of the secrets.

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use wasmtime::component::{HasData, Linker};

use super::super::bindings::secrets;
use super::super::{HasCapabilities, Invocation};
use super::{SecretError, value_for_use};
use crate::storage::vault::Vault;

/// What the secrets see of their invocation.
pub struct SecretsView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// Opens sealed secrets.
    pub vault: &'a Vault,
}

struct Secrets;

impl HasData for Secrets {
    type Data<'a> = SecretsView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    secrets::add_to_linker::<T, Secrets>(linker, |data| {
        let state = data.capabilities();
        SecretsView {
            invocation: &mut state.invocation,
            vault: &state.services.vault,
        }
    })
}

impl SecretsView<'_> {
    fn revealed(&mut self, name: &str) -> Result<SecretString, SecretError> {
        if !self.invocation.active.grants.secrets.may_reveal(name) {
            return Err(SecretError::NotGranted(name.to_owned()));
        }
        let value = value_for_use(&self.invocation.active, self.vault, name)?;
        self.invocation.has_seen(&value);
        Ok(value)
    }
}

impl secrets::Host for SecretsView<'_> {
    async fn reveal(&mut self, name: String) -> wasmtime::Result<Result<String, secrets::Error>> {
        self.invocation.last_calls.note("secrets.reveal");
        self.invocation.charge_host_call(name.len())?;
        match self.revealed(&name) {
            Ok(value) => Ok(Ok(value.expose_secret().to_owned())),
            Err(error) => typed(error).map(Err),
        }
    }

    async fn hmac_sha256(
        &mut self,
        name: String,
        data: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, secrets::Error>> {
        self.invocation.last_calls.note("secrets.hmac_sha256");
        self.invocation.charge_host_call(name.len() + data.len())?;
        match value_for_use(&self.invocation.active, self.vault, &name) {
            Ok(key) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes())?;
                mac.update(&data);
                Ok(Ok(mac.finalize().into_bytes().to_vec()))
            }
            Err(error) => typed(error).map(Err),
        }
    }
}

/// The guest's own mistakes are typed and carry the name of the secret, as the contract says. A
/// vault that does not open is the host's fault and ends the invocation.
fn typed(error: SecretError) -> wasmtime::Result<secrets::Error> {
    match error {
        SecretError::NotGranted(name) => Ok(secrets::Error::NotGranted(name)),
        SecretError::NotFound(name) => Ok(secrets::Error::NotFound(name)),
        SecretError::Vault(error) => Err(super::super::HostFault::new(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_carries_the_name_and_nothing_else() {
        let granted = typed(SecretError::NotGranted("payment".to_owned())).unwrap();
        assert!(matches!(granted, secrets::Error::NotGranted(name) if name == "payment"));
        let found = typed(SecretError::NotFound("payment".to_owned())).unwrap();
        assert!(matches!(found, secrets::Error::NotFound(name) if name == "payment"));
    }
}
