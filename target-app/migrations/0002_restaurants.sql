-- The restaurants: a multi-tenant system. Every row belongs to a tenant through its restaurant.

CREATE TABLE tenants (
    -- What the gateway sends as X-Tenant-ID.
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL
);

CREATE TABLE restaurants (
    id        UUID PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants,
    name      TEXT NOT NULL
);

CREATE INDEX restaurants_tenant ON restaurants (tenant_id);

CREATE TABLE menu_items (
    id            UUID        PRIMARY KEY,
    restaurant_id UUID        NOT NULL REFERENCES restaurants,
    name          TEXT        NOT NULL,
    price_cents   BIGINT      NOT NULL CHECK (price_cents >= 0),
    stock         INTEGER     NOT NULL CHECK (stock >= 0),
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    -- A menu that lists one dish twice confuses the kitchen.
    CONSTRAINT menu_items_name UNIQUE (restaurant_id, name)
);

CREATE TABLE restaurant_orders (
    id                   UUID        PRIMARY KEY,
    restaurant_id        UUID        NOT NULL REFERENCES restaurants,
    status               TEXT        NOT NULL CHECK (status IN ('pending', 'completed', 'cancelled')),
    total_cents          BIGINT      NOT NULL CHECK (total_cents >= 0),
    -- Null until the guest was told.
    notification_sent_at TIMESTAMPTZ,
    created_at           TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX restaurant_orders_restaurant ON restaurant_orders (restaurant_id, created_at DESC, id DESC);

CREATE TABLE restaurant_order_items (
    order_id         UUID    NOT NULL REFERENCES restaurant_orders ON DELETE CASCADE,
    menu_item_id     UUID    NOT NULL REFERENCES menu_items,
    quantity         INTEGER NOT NULL CHECK (quantity > 0),
    unit_price_cents BIGINT  NOT NULL CHECK (unit_price_cents >= 0),
    PRIMARY KEY (order_id, menu_item_id)
);
