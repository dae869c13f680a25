//! Products of the shop.

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{Path, Query};
use crate::domain::pages::{Page, Pagination};
use crate::domain::products::{self, Product};
use crate::error::ApiError;
use crate::state::AppState;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(api_list))
        .routes(routes!(get))
        .routes(routes!(low_stock))
}

/// One page of products.
#[derive(Serialize, ToSchema)]
struct ProductPage {
    products: Vec<Product>,
    pagination: Pagination,
}

/// List products, oldest first
#[utoipa::path(get, path = "/products", tag = "shop", params(Page), responses((status = OK, body = ProductPage)))]
async fn list(State(app): State<AppState>, Query(page): Query<Page>) -> Result<Json<ProductPage>, ApiError> {
    let (products, total) = products::list(&app.pool, page).await?;
    Ok(Json(ProductPage { products, pagination: Pagination::new(page, total) }))
}

/// List products, oldest first: the same under the name that the shop's web pages use
#[utoipa::path(get, path = "/api/products", tag = "shop", params(Page), responses((status = OK, body = ProductPage)))]
async fn api_list(app: State<AppState>, page: Query<Page>) -> Result<Json<ProductPage>, ApiError> {
    list(app, page).await
}

/// Get a product
#[utoipa::path(get, path = "/products/{id}", tag = "shop", params(("id" = Uuid, Path)),
    responses((status = OK, body = Product)))]
async fn get(State(app): State<AppState>, Path(id): Path<Uuid>) -> Result<Json<Product>, ApiError> {
    let product = products::find(&app.pool, id).await?;
    product.map(Json).ok_or_else(|| ApiError::NotFound(format!("there is no product {id}")))
}

#[derive(Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
struct LowStock {
    /// At most this many pieces left.
    #[garde(range(min = 0))]
    #[param(minimum = 0)]
    threshold: i32,
}

impl Default for LowStock {
    fn default() -> Self {
        LowStock { threshold: 10 }
    }
}

/// List products that are nearly sold out, scarcest first
#[utoipa::path(get, path = "/admin/inventory/low", tag = "shop", params(LowStock), responses((status = OK, body = [Product])))]
async fn low_stock(
    State(app): State<AppState>,
    Query(query): Query<LowStock>,
) -> Result<Json<Vec<Product>>, ApiError> {
    Ok(Json(products::low_stock(&app.pool, query.threshold).await?))
}
