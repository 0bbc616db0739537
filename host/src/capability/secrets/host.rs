//! The host calls of the secrets.

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use wasmtime::component::{HasData, Linker};

use super::super::bindings::{v0_1, v0_2};
use super::super::{HasCapabilities, Invocation};
use super::{SecretError, value_for_use};
use crate::storage::vault::Vault;

/// The part of the invocation that the secrets may use.
pub struct SecretsView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// Decrypts secrets.
    pub vault: &'a Vault,
}

struct Secrets;

impl HasData for Secrets {
    type Data<'a> = SecretsView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::secrets::add_to_linker::<T, Secrets>(linker, view)?;
    v0_2::secrets::add_to_linker::<T, Secrets>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> SecretsView<'_> {
    let state = data.capabilities();
    SecretsView {
        invocation: &mut state.invocation,
        vault: &state.services.vault,
    }
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

impl SecretsView<'_> {
    fn hmac(&self, name: &str, data: &[u8]) -> Result<Vec<u8>, SecretError> {
        let key = value_for_use(&self.invocation.active, self.vault, name)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(data);
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

macro_rules! serve {
    ($contract:ident) => {
        impl $contract::secrets::Host for SecretsView<'_> {
            async fn reveal(
                &mut self,
                name: String,
            ) -> wasmtime::Result<Result<String, $contract::secrets::Error>> {
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
            ) -> wasmtime::Result<Result<Vec<u8>, $contract::secrets::Error>> {
                self.invocation.last_calls.note("secrets.hmac_sha256");
                self.invocation.charge_host_call(name.len() + data.len())?;
                match self.hmac(&name, &data) {
                    Ok(mac) => Ok(Ok(mac)),
                    Err(error) => typed(error).map(Err),
                }
            }
        }

        impl From<Typed> for $contract::secrets::Error {
            fn from(error: Typed) -> Self {
                match error {
                    Typed::NotGranted(name) => Self::NotGranted(name),
                    Typed::NotFound(name) => Self::NotFound(name),
                }
            }
        }
    };
}

serve!(v0_1);
serve!(v0_2);

/// An error that the contract has a case for, with the name of the secret.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    NotGranted(String),
    NotFound(String),
}

/// Errors of the guest are typed and carry the name of the secret. A vault that cannot decrypt is
/// the host's fault and ends the invocation.
fn typed<E: From<Typed>>(error: SecretError) -> wasmtime::Result<E> {
    match error {
        SecretError::NotGranted(name) => Ok(Typed::NotGranted(name).into()),
        SecretError::NotFound(name) => Ok(Typed::NotFound(name).into()),
        SecretError::Vault(error) => Err(super::super::HostFault::new(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_carries_the_name_and_nothing_else() {
        let granted: Typed = typed(SecretError::NotGranted("payment".to_owned())).unwrap();
        assert_eq!(granted, Typed::NotGranted("payment".to_owned()));
        let found: Typed = typed(SecretError::NotFound("payment".to_owned())).unwrap();
        assert_eq!(found, Typed::NotFound("payment".to_owned()));
    }
}
