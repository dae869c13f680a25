-- Checkouts of the shop that are sent with an idempotency key.

CREATE TABLE idempotency_keys (
    key        TEXT        PRIMARY KEY,
    -- The request that the key was first used for.
    request    JSONB       NOT NULL,
    order_id   UUID        REFERENCES orders,
    -- What the client got; none while the checkout is under way.
    answer     JSONB,
    -- Whoever began the checkout has it until then. Afterwards somebody else may go on with it.
    held_until TIMESTAMPTZ NOT NULL DEFAULT now(),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
