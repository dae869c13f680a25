-- Payments for orders of the shop.

CREATE TABLE payments (
    id           UUID        PRIMARY KEY,
    order_id     UUID        NOT NULL REFERENCES orders ON DELETE CASCADE,
    amount_cents BIGINT      NOT NULL CHECK (amount_cents > 0),
    card_last4   TEXT        NOT NULL,
    status       TEXT        NOT NULL CHECK (status IN ('processing', 'succeeded', 'declined')),
    -- The payment provider's number; there is one exactly where money was taken.
    charge       BIGINT      UNIQUE,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    CHECK ((status = 'succeeded') = (charge IS NOT NULL))
);

-- An order is paid once. A payment that was declined does not stand in the way of the next one.
CREATE UNIQUE INDEX payments_order ON payments (order_id) WHERE status <> 'declined';
