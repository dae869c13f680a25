-- The shop: what seeds the checkout, order list and report exercises.

CREATE TABLE users (
    id         UUID        PRIMARY KEY,
    email      TEXT        NOT NULL UNIQUE,
    name       TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE products (
    id          UUID        PRIMARY KEY,
    name        TEXT        NOT NULL,
    -- Nullable because one product in five never had one; new clients may not rely on it.
    description TEXT,
    -- Cents, because a binary fraction cannot hold 0.10.
    price_cents BIGINT      NOT NULL CHECK (price_cents >= 0),
    -- The last line of defence: whatever the code does, stock that does not exist cannot leave the table.
    stock       INTEGER     NOT NULL CHECK (stock >= 0),
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Low stock is asked for all day, and only a few rows ever are.
CREATE INDEX products_stock ON products (stock);

CREATE TABLE orders (
    id          UUID        PRIMARY KEY,
    user_id     UUID        NOT NULL REFERENCES users,
    status      TEXT        NOT NULL CHECK (status IN ('pending', 'paid', 'shipped', 'cancelled')),
    -- Kept with the order: a price that changes tomorrow must not change what was agreed today.
    total_cents BIGINT      NOT NULL CHECK (total_cents >= 0),
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- A user's orders, newest first, without a sort.
CREATE INDEX orders_user ON orders (user_id, created_at DESC, id DESC);

CREATE TABLE order_items (
    order_id         UUID    NOT NULL REFERENCES orders ON DELETE CASCADE,
    product_id       UUID    NOT NULL REFERENCES products,
    quantity         INTEGER NOT NULL CHECK (quantity > 0),
    unit_price_cents BIGINT  NOT NULL CHECK (unit_price_cents >= 0),
    -- One line a product: a repeated product is a larger quantity.
    PRIMARY KEY (order_id, product_id)
);
