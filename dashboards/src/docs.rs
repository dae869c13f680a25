//! Where the pages are that alerts and dashboards point to.

use reqwest::Url;

/// The folder `docs`, as links name it.
///
/// Nobody can know where a copy of the project is published, so without an address links are paths in the project. A
/// reader can find those by hand and cannot open them from Alertmanager or Grafana.
#[derive(Debug, Clone, Default)]
pub enum Docs {
    /// In the project, seen from its root.
    #[default]
    Local,
    /// Published at an address.
    Published(Url),
}

impl Docs {
    /// Published at the address in `text`.
    ///
    /// # Errors
    ///
    /// When a page's path cannot be put behind it, or when everybody who gets an alert would get a password with it.
    pub fn published(text: &str) -> Result<Self, String> {
        match Url::parse(text) {
            Ok(url)
                if matches!(url.scheme(), "http" | "https")
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.query().is_none()
                    && url.fragment().is_none() =>
            {
                Ok(Docs::Published(url))
            }
            _ => Err("the address of the folder `docs` looks like https://example.org/stampede/docs: \
                      http or https, with neither a user, a query nor a fragment"
                .into()),
        }
    }

    /// A page, given as its path in the folder.
    pub fn page(&self, path: &str) -> String {
        match self {
            Docs::Local => format!("docs/{path}"),
            Docs::Published(url) => format!("{}/{path}", url.as_str().trim_end_matches('/')),
        }
    }

    /// The same for a text in Markdown: a link where it can be opened.
    pub(crate) fn markdown(&self, path: &str) -> String {
        match self {
            Docs::Local => format!("`{}`", self.page(path)),
            Docs::Published(_) => format!("<{}>", self.page(path)),
        }
    }
}
