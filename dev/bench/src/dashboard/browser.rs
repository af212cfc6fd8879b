//! What a browser does with the dashboard, as far as the dashboard can tell.

use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::REFRESH;
use crate::Result;

/// A session.
#[derive(Clone)]
pub(super) struct Browser {
    client: Client,
    origin: Url,
    cookie: String,
}

impl Browser {
    /// Opens the link with the token.
    pub(super) async fn open(link: String) -> Result<Self> {
        // Fails if the process has a provider already, which is fine too.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().redirect(Policy::none()).build()?;
        let answer = client.get(&link).send().await?;
        let cookie = answer
            .headers()
            .get(SET_COOKIE)
            .ok_or("the link begins no session")?;
        let cookie = cookie
            .to_str()?
            .split(';')
            .next()
            .unwrap_or_default()
            .to_owned();
        let mut origin: Url = link.parse()?;
        origin.set_query(None);
        Ok(Self {
            client,
            origin,
            cookie,
        })
    }

    /// A page.
    pub(super) async fn get(&self, path: &str) -> Result<String> {
        let url = self.origin.join(path)?;
        let answer = self
            .client
            .get(url)
            .header(COOKIE, &self.cookie)
            .send()
            .await?;
        let status = answer.status();
        let page = answer.text().await?;
        match status.is_success() {
            true => Ok(page),
            false => Err(format!("{path} answers {status}: {page}").into()),
        }
    }

    /// Asks for a page again and again, as one that is open does.
    pub(super) async fn keep_open(self, path: &str) -> Result<()> {
        loop {
            self.get(path).await?;
            tokio::time::sleep(REFRESH).await;
        }
    }
}
