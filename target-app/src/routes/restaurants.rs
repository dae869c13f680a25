//! Restaurants of a tenant. Every route demands `X-Tenant-ID`; another tenant's restaurant does not exist.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::extract::{self, Path, Query, Tenant};
use crate::domain::pages::{Page, Pagination};
use crate::domain::restaurants::{self, Meal, MealError, MenuItem, NewMeal, NewMenuItem, Restaurant};
use crate::error::{ApiError, on_constraint};
use crate::exercises::slow_analytics::Analytics;
use crate::state::AppState;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(menu, add_to_menu))
        .routes(routes!(orders, place_order))
        .routes(routes!(analytics))
}

async fn restaurant_of(app: &AppState, tenant: &Tenant, id: Uuid) -> Result<Restaurant, ApiError> {
    restaurants::find(&app.pool, &tenant.0, id)
        .await?
        .ok_or_else(|| ApiError::NotFound(format!("there is no restaurant {id} among this tenant's")))
}

/// List the tenant's restaurants
#[utoipa::path(get, path = "/restaurants", tag = "restaurants", params(Tenant),
    responses((status = OK, body = [Restaurant])))]
async fn list(State(app): State<AppState>, tenant: Tenant) -> Result<Json<Vec<Restaurant>>, ApiError> {
    Ok(Json(restaurants::of_tenant(&app.pool, &tenant.0).await?))
}

/// Get the menu
#[utoipa::path(get, path = "/restaurants/{id}/menu", tag = "restaurants",
    params(("id" = Uuid, Path), Tenant), responses((status = OK, body = [MenuItem])))]
async fn menu(
    State(app): State<AppState>,
    tenant: Tenant,
    Path(id): Path<Uuid>,
) -> Result<Json<Vec<MenuItem>>, ApiError> {
    let restaurant = restaurant_of(&app, &tenant, id).await?;
    Ok(Json(restaurants::menu(&app.pool, restaurant.id).await?))
}

/// Add a dish to the menu
#[utoipa::path(post, path = "/restaurants/{id}/menu", tag = "restaurants", request_body = NewMenuItem,
    params(("id" = Uuid, Path), Tenant),
    responses((status = CREATED, body = MenuItem), (status = CONFLICT)))]
async fn add_to_menu(
    State(app): State<AppState>,
    tenant: Tenant,
    Path(id): Path<Uuid>,
    extract::Json(dish): extract::Json<NewMenuItem>,
) -> Result<(StatusCode, Json<MenuItem>), ApiError> {
    let restaurant = restaurant_of(&app, &tenant, id).await?;
    let added = restaurants::add_to_menu(&app.pool, restaurant.id, &dish)
        .await
        .map_err(on_constraint("menu_items_name", || {
            ApiError::Conflict(format!("the menu has a dish called '{}' already", dish.name))
        }))?;
    Ok((StatusCode::CREATED, Json(added)))
}

/// One page of orders.
#[derive(Serialize, ToSchema)]
struct MealPage {
    orders: Vec<Meal>,
    pagination: Pagination,
}

/// List the restaurant's orders, newest first
#[utoipa::path(get, path = "/restaurants/{id}/orders", tag = "restaurants",
    params(Page, ("id" = Uuid, Path), Tenant), responses((status = OK, body = MealPage)))]
async fn orders(
    State(app): State<AppState>,
    tenant: Tenant,
    Path(id): Path<Uuid>,
    Query(page): Query<Page>,
) -> Result<Json<MealPage>, ApiError> {
    let restaurant = restaurant_of(&app, &tenant, id).await?;
    let (orders, total) = restaurants::meals(&app.pool, restaurant.id, page).await?;
    Ok(Json(MealPage { orders, pagination: Pagination::new(page, total) }))
}

/// Place an order
#[utoipa::path(post, path = "/restaurants/{id}/orders", tag = "restaurants", request_body = NewMeal,
    params(("id" = Uuid, Path), Tenant),
    responses((status = CREATED, body = Meal), (status = CONFLICT)))]
async fn place_order(
    State(app): State<AppState>,
    tenant: Tenant,
    Path(id): Path<Uuid>,
    extract::Json(meal): extract::Json<NewMeal>,
) -> Result<(StatusCode, Json<Meal>), ApiError> {
    let restaurant = restaurant_of(&app, &tenant, id).await?;
    let placed = restaurants::place_meal(&app.pool, restaurant.id, &meal).await?;
    Ok((StatusCode::CREATED, Json(placed)))
}

/// Sum up the restaurant's orders
#[utoipa::path(get, path = "/restaurants/{id}/analytics", tag = "restaurants",
    params(("id" = Uuid, Path), Tenant), responses((status = OK, body = Analytics)))]
async fn analytics(
    State(app): State<AppState>,
    tenant: Tenant,
    Path(id): Path<Uuid>,
) -> Result<Json<Analytics>, ApiError> {
    let restaurant = restaurant_of(&app, &tenant, id).await?;
    Ok(Json(app.exercises.slow_analytics.analytics(&app.pool, restaurant.id).await?))
}

impl From<MealError> for ApiError {
    fn from(error: MealError) -> Self {
        match error {
            MealError::ShortStock { .. } => ApiError::Conflict(error.to_string()),
            MealError::UnknownDish(_) => ApiError::Invalid(error.to_string()),
            MealError::Database(error) => error.into(),
        }
    }
}
