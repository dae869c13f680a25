//! Expressions with two places left open: which servers are meant, and over which range a rate goes.

/// What is put into an expression's open places.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Label matchers, for `$scope`.
    pub selector: String,
    /// A range, for `$window`.
    pub window: String,
}

impl Scope {
    /// Matchers and a range.
    pub fn new(selector: impl Into<String>, window: impl Into<String>) -> Self {
        Scope { selector: selector.into(), window: window.into() }
    }

    /// The expression with its places filled.
    pub fn fill(&self, promql: &str) -> String {
        promql.replace("$scope", &self.selector).replace("$window", &self.window)
    }

    /// The same, aggregated or divided by something else that is derived from `self`.
    pub fn over(&self, window: &str) -> Self {
        Scope { window: window.into(), ..self.clone() }
    }
}

/// Requests a second, by these labels.
pub fn rate(counter: &str, by: &str, matchers: &[&str]) -> String {
    format!("sum by ({by}) (rate({counter}{{{}}}[$window]))", scoped(matchers))
}

/// The given quantile of a histogram, by these labels.
pub fn quantile(quantile: f64, histogram: &str, by: &str, matchers: &[&str]) -> String {
    let buckets = rate(&format!("{histogram}_bucket"), &format!("{by}, le"), matchers);
    format!("histogram_quantile({quantile}, {buckets})")
}

/// The share of `part` in `whole`; 0, and not nothing, as long as there is a whole without a part.
pub fn share(part: &str, whole: &str) -> String {
    format!("({part} or 0 * {whole}) / {whole}")
}

/// `$scope` and further matchers.
pub fn scoped(matchers: &[&str]) -> String {
    std::iter::once("$scope").chain(matchers.iter().copied()).collect::<Vec<_>>().join(", ")
}
