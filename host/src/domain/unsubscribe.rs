//! Links with which the receiver of a mail unsubscribes (RFC 8058). The host signs them, so that
//! nobody can unsubscribe somebody else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::id::TenantId;
use super::suppression::AddressKey;

/// Bytes of the MAC in a token. 128 bits cannot be guessed, and the link stays short.
const MAC_BYTES: usize = 16;

/// The longest token that is looked at.
const MAX_TOKEN: usize = 1_024;

/// The key that signs the links of one tenant. It is stored with the tenant: a link in an old mail
/// works although the host's key was replaced. It implements no `Debug`.
pub struct UnsubscribeKey([u8; 32]);

impl UnsubscribeKey {
    /// A stored key.
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The token of an address: the address and its MAC.
    pub fn token(&self, tenant: TenantId, address: &AddressKey) -> String {
        let mac = self.mac(tenant, address).finalize().into_bytes();
        let token = [&mac[..MAC_BYTES], address.as_str().as_bytes()].concat();
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The address of a token; `None` if this key did not make it for the tenant.
    pub fn open(&self, tenant: TenantId, token: &str) -> Option<AddressKey> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (mac, address) = token.split_at_checked(MAC_BYTES)?;
        let address: AddressKey = str::from_utf8(address).ok()?.parse().ok()?;
        // Compares in constant time.
        self.mac(tenant, &address).verify_truncated_left(mac).ok()?;
        Some(address)
    }

    fn mac(&self, tenant: TenantId, address: &AddressKey) -> Hmac<Sha256> {
        let mut mac =
            <Hmac<Sha256> as hmac::Mac>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(b"mortise unsubscribe 1");
        mac.update(tenant.0.as_bytes());
        mac.update(address.as_str().as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_for_its_tenant_and_key_only() {
        let (key, tenant) = (UnsubscribeKey::new([7; 32]), TenantId::generate());
        let address: AddressKey = "ada@example.com".parse().unwrap();
        let token = key.token(tenant, &address);
        assert_eq!(key.open(tenant, &token), Some(address.clone()));
        assert_eq!(key.open(TenantId::generate(), &token), None);
        assert_eq!(UnsubscribeKey::new([8; 32]).open(tenant, &token), None);
        let other = key.token(tenant, &"eve@example.com".parse().unwrap());
        assert_ne!(token, other);
        let mixed = format!("{}{}", &token[..16], &other[16..]);
        let long = "A".repeat(2_000);
        for wrong in ["", "AAAA", &token[1..], mixed.as_str(), long.as_str()] {
            assert_eq!(key.open(tenant, wrong), None, "{wrong}");
        }
    }
}
