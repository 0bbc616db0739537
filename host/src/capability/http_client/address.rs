//! The rule that decides which IP addresses plugins may reach: the public internet, and nothing of
//! the host's own network.
//!
//! The rule checks the address to connect to, never the text of a URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the operator allows beyond the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses only.
    Public,
    /// Public addresses and the host's own loopback, for development and tests.
    PublicAndLoopback,
    /// Loopback only, for secrets that would otherwise be sent in plain text.
    Loopback,
}

/// IPv4 ranges that are not the public internet: address and prefix length.
const FORBIDDEN_V4: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),          // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),         // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),      // carrier-grade NAT; metadata of Alibaba
    (Ipv4Addr::new(127, 0, 0, 0), 8),        // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32),   // metadata of Azure, though the address is a public one
    (Ipv4Addr::new(169, 254, 0, 0), 16),     // link-local; metadata of most clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),      // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),       // protocol assignments; metadata of Oracle
    (Ipv4Addr::new(192, 0, 2, 0), 24),       // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),     // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),     // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),      // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),    // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),     // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),        // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),        // reserved
    (Ipv4Addr::new(255, 255, 255, 255), 32), // broadcast
];

/// Ranges within `2000::/3` that are not the public internet.
const FORBIDDEN_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4, whatever IPv4 address is inside
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

impl Reach {
    /// Whether `address` may be dialled.
    pub fn covers(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let (public, loopback) = match self {
            Reach::Public => (true, false),
            Reach::PublicAndLoopback => (true, true),
            Reach::Loopback => (false, true),
        };
        (loopback && address.is_loopback()) || (public && is_public(address))
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !FORBIDDEN_V4
        .iter()
        .any(|(range, length)| same_prefix(range.to_bits().into(), address.to_bits().into(), 32 - length))
}

/// Only global unicast is public. Of the forms that embed an IPv4 address, only NAT64 is in use on
/// the public internet. The mapped form is converted to IPv4 before this check. The compatible
/// form, 6to4 and Teredo are always rejected.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        return is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    }
    let bits = address.to_bits();
    bits >> 125 == 0b001
        && !FORBIDDEN_V6
            .iter()
            .any(|(range, length)| same_prefix(range.to_bits(), bits, 128 - length))
}

fn same_prefix(left: u128, right: u128, ignored_bits: u32) -> bool {
    left >> ignored_bits == right >> ignored_bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(reach: Reach, address: &str) -> bool {
        reach.covers(address.parse().unwrap())
    }

    const LOOPBACK: [&str; 5] = [
        "127.0.0.1",
        "127.1.2.3",
        "127.255.255.255",
        "::1",
        "::ffff:127.0.0.1",
    ];

    /// Rows D2 and D3, with the edges of each range.
    const FORBIDDEN: [&str; 62] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.100.100.200",
        "100.127.255.255",
        "168.63.129.16",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::2",
        "::10.0.0.1",
        "::127.0.0.1",
        "::169.254.169.254",
        "::8.8.8.8",
        "::ffff:0.0.0.0",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:192.168.1.1",
        "::ffff:0:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::1",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:a9fe:a9fe::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:a9fe:a9fe::",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fdff:ffff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
    ];

    const PUBLIC: [&str; 20] = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "198.17.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
    ];

    #[test]
    fn nothing_but_the_public_internet_is_reachable() {
        for address in FORBIDDEN.iter().chain(&LOOPBACK) {
            assert!(!covers(Reach::Public, address), "{address}");
        }
        for address in PUBLIC {
            assert!(covers(Reach::Public, address), "{address}");
        }
    }

    #[test]
    fn the_operator_can_add_loopback_and_nothing_else() {
        for address in LOOPBACK {
            assert!(covers(Reach::PublicAndLoopback, address), "{address}");
            assert!(covers(Reach::Loopback, address), "{address}");
        }
        for address in FORBIDDEN {
            assert!(!covers(Reach::PublicAndLoopback, address), "{address}");
            assert!(!covers(Reach::Loopback, address), "{address}");
        }
        for address in PUBLIC {
            assert!(covers(Reach::PublicAndLoopback, address), "{address}");
            assert!(!covers(Reach::Loopback, address), "{address}");
        }
    }
}
