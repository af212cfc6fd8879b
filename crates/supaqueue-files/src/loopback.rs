//! Whether a database is on this machine, as seen from a connection string.

use std::net::IpAddr;

/// Whether a client that was given these host names and addresses can only reach this machine.
///
/// Both count where a host has both: the name is who is meant, the address where the bytes go. A
/// Unix socket needs no mention. A spelling that only the resolver understands, such as `127.1`,
/// is not recognized, which errs on the safe side.
pub fn is_loopback<'a>(
    names: impl IntoIterator<Item = &'a str>,
    addresses: impl IntoIterator<Item = &'a IpAddr>,
) -> bool {
    let is_local = |name: &str| {
        let address = name
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback());
        address || name.eq_ignore_ascii_case("localhost")
    };
    names.into_iter().all(is_local) && addresses.into_iter().all(IpAddr::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_and_addresses_of_this_machine_are_loopback() {
        let cases: [(&[&str], &[&str], bool); 14] = [
            (&["localhost"], &[], true),
            (&["LocalHost"], &[], true),
            (&["127.0.0.1"], &[], true),
            (&["127.8.0.1", "::1"], &[], true),
            (&[], &["127.0.0.1"], true),
            (&["localhost"], &["::1"], true),
            (&["localhost"], &["192.0.2.1"], false),
            (&["db.example.com"], &["127.0.0.1"], false),
            (&["db.example.com"], &[], false),
            (&["localhost", "db.example.com"], &[], false),
            (&["localhost.example.com"], &[], false),
            (&["127.0.0.1.example.com"], &[], false),
            (&["0.0.0.0"], &[], false),
            (&["host.docker.internal"], &[], false),
        ];
        for (names, addresses, want) in cases {
            let parsed: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            let is_loopback = is_loopback(names.iter().copied(), &parsed);
            assert_eq!(is_loopback, want, "{names:?} {addresses:?}");
        }
    }
}
