//! The extensions that Supaqueue uses: the real ones where Postgres has them, otherwise emulated.

use std::fmt;

use tokio_postgres::Client;

use crate::{Error, Result};

/// An extension that Supaqueue uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `pg_net`: HTTP requests from SQL.
    Net,
    /// `supabase_vault`: secrets.
    Vault,
    /// `pg_cron`: scheduled statements.
    Cron,
}

impl Kind {
    /// All extensions.
    pub const ALL: [Self; 3] = [Self::Net, Self::Vault, Self::Cron];

    /// The name in `create extension`.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Net => "pg_net",
            Self::Vault => "supabase_vault",
            Self::Cron => "pg_cron",
        }
    }

    fn schema(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Vault => "vault",
            Self::Cron => "cron",
        }
    }

    /// Creates the emulated extension.
    fn emulate(self) -> &'static str {
        match self {
            Self::Net => include_str!("emulation/net.sql"),
            Self::Vault => include_str!("emulation/vault.sql"),
            Self::Cron => include_str!("emulation/cron.sql"),
        }
    }

    /// Creates the real extension, with the grants that the platform adds.
    fn create(self) -> &'static str {
        match self {
            Self::Net => "create extension if not exists pg_net schema extensions",
            Self::Vault => {
                "create extension if not exists supabase_vault cascade;
                 grant usage on schema vault to postgres, service_role;
                 grant select, delete, truncate, references on vault.secrets, vault.decrypted_secrets to postgres;
                 grant select, delete on vault.secrets, vault.decrypted_secrets to service_role;
                 grant execute on function
                   vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt
                 to postgres, service_role"
            }
            Self::Cron => {
                "create extension if not exists pg_cron;
                 grant usage on schema cron to postgres;
                 grant all on all tables in schema cron to postgres;
                 grant execute on all functions in schema cron to postgres"
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// The real extensions of a database and their versions; the others are emulated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    real: Vec<(Kind, String)>,
}

impl Extensions {
    /// The version of the real extension, or `None` if it is emulated.
    #[must_use]
    pub fn real(&self, kind: Kind) -> Option<&str> {
        self.real
            .iter()
            .find(|(real, _)| *real == kind)
            .map(|(_, version)| version.as_str())
    }

    /// Reads the extensions of a database.
    ///
    /// # Errors
    /// [`Error::Database`] if the query fails.
    pub async fn of(client: &Client) -> Result<Self> {
        let rows = client
            .query(
                "select extname::text, extversion from pg_catalog.pg_extension",
                &[],
            )
            .await
            .map_err(Error::database("cannot read the extensions"))?;
        let real = rows
            .iter()
            .filter_map(|row| {
                let kind = Kind::ALL
                    .into_iter()
                    .find(|kind| kind.extension() == row.get::<_, &str>(0))?;
                Some((kind, row.get(1)))
            })
            .collect();
        Ok(Self { real })
    }
}

/// The extensions that can be created. The Vault before 0.3 needs pgsodium, which is not set up here.
pub(crate) async fn available(client: &Client) -> Result<Vec<Kind>> {
    let rows = client
        .query(
            "select e.name::text
             from pg_catalog.pg_available_extensions e
             join pg_catalog.pg_available_extension_versions v
               on v.name = e.name and v.version = e.default_version
             where not 'pgsodium' = any (coalesce(v.requires, '{}'))",
            &[],
        )
        .await
        .map_err(Error::database("cannot read the available extensions"))?;
    let is_available = |kind: &Kind| {
        rows.iter()
            .any(|row| row.get::<_, &str>(0) == kind.extension())
    };
    Ok(Kind::ALL.into_iter().filter(is_available).collect())
}

/// Those of the [`available`] extensions whose background workers serve the connected database, or
/// that need none. A server loads them only when it starts.
pub(crate) async fn usable(client: &Client) -> Result<Vec<Kind>> {
    let row = client
        .query_one(
            "select
               string_to_array(replace(current_setting('shared_preload_libraries'), ' ', ''), ','),
               coalesce(current_setting('pg_net.database_name', true), 'postgres') = current_database(),
               coalesce(current_setting('cron.database_name', true), 'postgres') = current_database()",
            &[],
        )
        .await
        .map_err(Error::database("cannot read the server's settings"))?;
    let loaded: Vec<String> = row.get(0);
    let (serves_net, serves_cron): (bool, bool) = (row.get(1), row.get(2));
    let mut kinds = available(client).await?;
    kinds.retain(|kind| {
        loaded.iter().any(|name| name == kind.extension())
            && match kind {
                Kind::Net => serves_net,
                Kind::Vault => true,
                Kind::Cron => serves_cron,
            }
    });
    Ok(kinds)
}

/// Creates each extension whose schema does not exist yet: the real one if `is_available`,
/// otherwise an emulation.
pub(crate) async fn set_up(client: &Client, is_available: impl Fn(Kind) -> bool) -> Result<()> {
    for kind in Kind::ALL {
        let row = client
            .query_one(
                "select pg_catalog.to_regnamespace($1) is not null",
                &[&kind.schema()],
            )
            .await
            .map_err(Error::database("cannot read the schemas"))?;
        if row.get(0) {
            continue;
        }
        let (sql, what) = match is_available(kind) {
            true => (kind.create(), "the extension"),
            false => (kind.emulate(), "the emulated"),
        };
        client
            .batch_execute(sql)
            .await
            .map_err(Error::database(format!("cannot create {what} {kind}")))?;
    }
    Ok(())
}
