//! Page numbers for lists.

use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct Page {
    /// Counted from 1.
    #[garde(range(min = 1, max = 1_000_000))]
    #[param(minimum = 1, maximum = 1_000_000)]
    pub page: i64,
    /// Entries a page.
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100)]
    pub limit: i64,
}

impl Default for Page {
    fn default() -> Self {
        Page { page: 1, limit: 20 }
    }
}

impl Page {
    /// Rows before this page.
    pub fn offset(self) -> i64 {
        (self.page - 1) * self.limit
    }
}

/// Where a page stands in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pagination {
    /// Counted from 1.
    pub page: i64,
    /// Entries a page.
    pub limit: i64,
    /// Entries in the list.
    pub total: i64,
    /// Pages in the list.
    pub pages: i64,
}

impl Pagination {
    /// The place of `page` in a list of `total` entries.
    pub fn new(page: Page, total: i64) -> Self {
        Pagination { page: page.page, limit: page.limit, total, pages: (total + page.limit - 1) / page.limit }
    }
}
