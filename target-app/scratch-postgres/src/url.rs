//! URLs of PostgreSQL, as sqlx does not quite read and write them.

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

/// Reads a URL of PostgreSQL.
///
/// # Errors
///
/// [`sqlx::Error::Configuration`] when it is none.
pub fn read_url(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    // sqlx reads the address of any URL; one of another kind of server should not end in a failed look-up.
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(sqlx::Error::Configuration("it does not begin with postgres://".into()));
    }
    let options: PgConnectOptions = url.parse()?;
    // sqlx leaves the brackets around an address of IPv6, which the resolver takes for a part of the name.
    let host = options.get_host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
    Ok(match address {
        Some(address) => options.host(&address),
        None => options,
    })
}

/// The same the other way around.
pub(crate) fn write_url(options: &PgConnectOptions) -> String {
    let host = options.get_host();
    if host.contains(':') {
        options.clone().host(&format!("[{host}]")).to_url_lossy().into()
    } else {
        options.to_url_lossy().into()
    }
}
