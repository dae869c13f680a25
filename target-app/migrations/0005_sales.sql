-- Flash sales: stock that many buyers want at once, reservations that expire, and a waiting list.

CREATE TABLE sales (
    id          UUID        PRIMARY KEY,
    name        TEXT        NOT NULL,
    stock       BIGINT      NOT NULL CHECK (stock BETWEEN 0 AND 1000000000),
    price_cents BIGINT      NOT NULL CHECK (price_cents > 0),
    -- How long a reservation is held for its buyer.
    hold_ms     BIGINT      NOT NULL CHECK (hold_ms > 0),
    opens_at    TIMESTAMPTZ NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- What is left of each stock. Every buyer wants this row, so it is as small as it can be, and its page has room for its next versions.
CREATE TABLE sale_permits (
    sale_id UUID   PRIMARY KEY REFERENCES sales ON DELETE CASCADE,
    stock   BIGINT NOT NULL,
    held    BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0),
    paid    BIGINT NOT NULL DEFAULT 0 CHECK (paid >= 0),
    CHECK (held + paid <= stock)
) WITH (fillfactor = 20);

CREATE TABLE reservations (
    id         UUID        PRIMARY KEY,
    -- No foreign key: each insert would lock the sale's row for it, and all buyers come at once.
    sale_id    UUID        NOT NULL,
    -- The gateway vouches for buyers; they need not be users of the shop.
    buyer_id   UUID        NOT NULL,
    status     TEXT        NOT NULL CHECK (status IN ('waiting', 'held', 'paid', 'expired', 'cancelled')),
    -- Each transition increments it, so (id, version) names a fact.
    version    INTEGER     NOT NULL DEFAULT 1,
    -- The sequence of arrival.
    ticket     BIGINT      NOT NULL GENERATED ALWAYS AS IDENTITY,
    -- When the hold ends; NULL if there never was one.
    expires_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CHECK (status NOT IN ('held', 'paid', 'expired') OR expires_at IS NOT NULL)
);

-- A buyer has one reservation of a sale that is not over.
CREATE UNIQUE INDEX reservations_active ON reservations (sale_id, buyer_id) WHERE status IN ('waiting', 'held', 'paid');
CREATE INDEX reservations_waiting ON reservations (sale_id, ticket) WHERE status = 'waiting';
CREATE INDEX reservations_held ON reservations (sale_id, expires_at) WHERE status = 'held';

-- Work that a reservation has left to do, and when. Whoever takes a job puts it off, does it, and removes it.
CREATE TABLE sale_jobs (
    reservation_id UUID        NOT NULL,
    kind           TEXT        NOT NULL CHECK (kind IN ('confirmation')),
    due_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    attempts       INTEGER     NOT NULL DEFAULT 0,
    PRIMARY KEY (reservation_id, kind)
);
CREATE INDEX sale_jobs_due ON sale_jobs (due_at);
