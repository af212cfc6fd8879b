//! The style sheet and the script. Their addresses contain a hash of their content, so that browsers keep them for good.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// A file that is part of the program.
pub(crate) struct Asset {
    pub(crate) path: String,
    content_type: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let hash = Sha256::digest(content);
        let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            path: format!("/assets/{name}-{hash}.{extension}"),
            content_type,
            content,
        }
    }
}

pub(crate) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let content = include_str!("assets/style.css");
    Asset::new("style", "css", "text/css; charset=utf-8", content)
});

pub(crate) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let content = include_str!("assets/script.js");
    Asset::new("script", "js", "text/javascript; charset=utf-8", content)
});

/// The asset of a path.
pub(crate) fn find(path: &str) -> Option<Response> {
    let asset = [&*STYLE, &*SCRIPT]
        .into_iter()
        .find(|asset| asset.path == path)?;
    let headers = [
        (CONTENT_TYPE, asset.content_type),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Some((headers, asset.content).into_response())
}
