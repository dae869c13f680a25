-- The seeded data set, made by the database itself so that a million orders take seconds, not round trips.
-- Settings: stampede.seed, stampede.shop_orders (beside the heavy user's) and stampede.restaurant_orders (of the
-- first restaurant). Every value comes from md5 of the seed and a row number: the same on every server and version.

-- A whole number in 0..n, drawn from its own stream.
CREATE FUNCTION pg_temp.pick(stream text, i bigint, n integer) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT (('x' || left(md5(current_setting('stampede.seed') || stream || i), 8))::bit(32)::bigint % n)::integer
$$;

-- A version 7 UUID: it sorts by its time, as the ids made at run time do.
CREATE FUNCTION pg_temp.uuid_at(stream text, i bigint, at timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
            || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid
    FROM md5(current_setting('stampede.seed') || stream || i) AS hash
$$;

CREATE FUNCTION pg_temp.day_zero() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT timestamptz '2026-01-01 08:00:00+00'
$$;

-- Every row below is made from the rows it refers to, so checking each reference again only costs time: minutes, for a
-- million orders. Where the role may not switch the checks off, they stay on.
DO $$
BEGIN
    SET LOCAL session_replication_role = replica;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;

-- Number 2's name has to be escaped wherever it is written; number 31 never bought anything.
INSERT INTO users (id, email, name, created_at)
SELECT pg_temp.uuid_at('user', i, at),
       CASE i WHEN 1 THEN 'heavy.user@example.com' WHEN 31 THEN 'new.user@example.com' ELSE 'user' || i || '@example.com' END,
       CASE i
           WHEN 2 THEN 'Zoë "Zed" O''Neill (née Łuk) \ & <Söhne>'
           ELSE (ARRAY['Ada','Grace','Linus','Edsger','Barbara','Ken','Margaret','Donald','Frances','Tony'])[1 + (i - 1) % 10]
               || ' ' || (ARRAY['Archer','Brook','Carver','Dyer'])[1 + (i - 1) / 10]
       END,
       at
FROM (SELECT i, pg_temp.day_zero() + (i / 31) * interval '1 day' AS at FROM generate_series(1, 31) AS i) AS numbered;

-- The first ten are nearly sold out; every fifth has no description. The last five, which no first page of a hundred shows,
-- are there for what they do to careless code: a name to escape, one beyond Latin letters, one that another product has as
-- well, a price whose multiples are beyond 32 bits, and one that costs nothing.
INSERT INTO products (id, name, description, price_cents, stock, created_at)
SELECT pg_temp.uuid_at('product', i, pg_temp.day_zero() + i * interval '1 minute'),
       CASE i
           WHEN 101 THEN 'Lamp "Noir" (50% off) \ & <b>''bold''</b>'
           WHEN 102 THEN 'Väse 花瓶'
           WHEN 103 THEN 'Oak Lamp'
           WHEN 104 THEN 'Grand piano'
           WHEN 105 THEN 'Catalogue'
           ELSE (ARRAY['Oak','Copper','Linen','Clay','Walnut','Steel','Wool','Glass','Cork','Slate'])[1 + (i - 1) % 10]
               || ' ' || (ARRAY['Lamp','Kettle','Blanket','Bowl','Shelf','Clock','Basket','Vase','Stool','Tray'])[1 + (i - 1) / 10]
       END,
       CASE WHEN i % 5 <> 0 THEN 'Made to last, in batch ' || (1 + pg_temp.pick('batch', i, 90)) || '.' END,
       CASE i WHEN 104 THEN 200000000 WHEN 105 THEN 0 ELSE 500 + pg_temp.pick('price', i, 9500) END,
       CASE WHEN i <= 10 THEN 1 + (i - 1) % 3 ELSE 50 + pg_temp.pick('stock', i, 150) END,
       pg_temp.day_zero() + i * interval '1 minute'
FROM generate_series(1, 105) AS i;

-- Orders 1 to 120 are the heavy user's; the rest are spread over the others but the last.
CREATE TEMPORARY TABLE seeded_order ON COMMIT DROP AS
SELECT i,
       at,
       pg_temp.uuid_at('order', i, at) AS id,
       CASE WHEN i <= 120 THEN 1 ELSE 2 + pg_temp.pick('buyer', i, 29) END AS buyer,
       -- 2 to 5 lines; the product numbers step by 7 from a drawn start, so that no product comes twice.
       2 + pg_temp.pick('lines', i, 4) AS lines,
       pg_temp.pick('first', i, 105) AS first
-- Now and then, two are of the same moment.
FROM (SELECT i, pg_temp.day_zero() + (i - CASE i % 20 WHEN 0 THEN 1 ELSE 0 END) * interval '17 seconds' AS at
      FROM generate_series(1, 120 + current_setting('stampede.shop_orders')::bigint) AS i) AS numbered;

CREATE TEMPORARY TABLE seeded_line ON COMMIT DROP AS
SELECT o.i, o.id AS order_id, p.id AS product_id, 1 + pg_temp.pick('quantity', o.i * 8 + line, 3) AS quantity,
       -- A third of the orders is from before the last price rise.
       CASE o.i % 3 WHEN 0 THEN p.price_cents * 9 / 10 ELSE p.price_cents END AS price_cents
FROM seeded_order AS o
CROSS JOIN LATERAL generate_series(0, o.lines - 1) AS line
JOIN (SELECT row_number() OVER (ORDER BY id) - 1 AS n, id, price_cents FROM products) AS p
  ON p.n = (o.first + line * 7) % 105;

INSERT INTO orders (id, user_id, status, total_cents, created_at)
SELECT o.id, u.id, (ARRAY['paid','shipped','pending','shipped','cancelled'])[1 + o.i % 5], t.total, o.at
FROM seeded_order AS o
JOIN (SELECT i, sum(quantity * price_cents)::bigint AS total FROM seeded_line GROUP BY i) AS t USING (i)
JOIN (SELECT row_number() OVER (ORDER BY email <> 'heavy.user@example.com', id) AS n, id FROM users) AS u ON u.n = o.buyer;

INSERT INTO order_items (order_id, product_id, quantity, unit_price_cents)
SELECT order_id, product_id, quantity, price_cents FROM seeded_line;

-- Two tenants of one name, and restaurants of one name with different tenants: only ids tell them apart.
INSERT INTO tenants (id, name)
VALUES ('tenant-1', 'Harbour Kitchens'), ('tenant-2', 'Hilltop Dining'), ('tenant-3', 'Harbour Kitchens');

CREATE TEMPORARY TABLE seeded_restaurant ON COMMIT DROP AS
SELECT n, pg_temp.uuid_at('restaurant', n, pg_temp.day_zero() + n * interval '1 minute') AS id, tenant, name, orders
FROM (VALUES
    (1, 'tenant-1', 'The Blue Anchor', current_setting('stampede.restaurant_orders')::bigint),
    (2, 'tenant-1', 'Pier Nine', 40),
    (3, 'tenant-2', 'The Blue Anchor', 40),
    (4, 'tenant-2', 'Orchard House', 40),
    -- Nobody has ordered yet.
    (5, 'tenant-1', 'The Empty Table', 0),
    -- Each of its many dishes is sold equally often.
    (6, 'tenant-1', 'Even Keel', 30),
    (7, 'tenant-3', 'Pier Nine', 12),
    -- More orders than anybody reads at once; each of one line, so that code that asks for every line is not waited for too long.
    (8, 'tenant-2', 'Grand Hall', 1300)
) AS listed (n, tenant, name, orders);

INSERT INTO restaurants (id, tenant_id, name) SELECT id, tenant, name FROM seeded_restaurant;

INSERT INTO menu_items (id, restaurant_id, name, price_cents, stock, created_at)
SELECT pg_temp.uuid_at('dish', r.n * 100 + i, pg_temp.day_zero() + i * interval '1 minute'),
       r.id,
       (ARRAY['Smoked trout','Leek pie','Lamb stew','Beet salad','Onion soup','Roast squash','Fish cakes','Rye toast',
              'Crème "brûlée" \ (50%)','Baked pear','Herb omelette','Corn fritters'])[1 + (i - 1) % 12]
           || CASE WHEN i > 12 THEN ' no. ' || (i + 11) / 12 ELSE '' END,
       600 + pg_temp.pick('dish price', r.n * 100 + i, 2400),
       200 + pg_temp.pick('dish stock', r.n * 100 + i, 300),
       pg_temp.day_zero() + i * interval '1 minute'
FROM seeded_restaurant AS r
CROSS JOIN LATERAL generate_series(1, CASE r.n WHEN 6 THEN 60 ELSE 12 END) AS i;

-- Of five orders one was cancelled, but where dishes are to be sold equally often.
CREATE TEMPORARY TABLE seeded_meal ON COMMIT DROP AS
SELECT r.n * 10000000 + i AS i,
       r.id AS restaurant_id,
       r.n,
       pg_temp.day_zero() + i * interval '19 seconds' AS at,
       CASE r.n WHEN 6 THEN 2 WHEN 8 THEN 1 ELSE 1 + pg_temp.pick('meal lines', r.n * 10000000 + i, 4) END AS lines,
       CASE r.n WHEN 6 THEN i % 30 ELSE pg_temp.pick('meal first', r.n * 10000000 + i, 12) END AS first,
       CASE WHEN i % 5 = 0 AND r.n <> 6 THEN 'cancelled' ELSE (ARRAY['completed','completed','pending'])[1 + i % 3] END AS status
FROM seeded_restaurant AS r
CROSS JOIN LATERAL generate_series(1, r.orders) AS i;

CREATE TEMPORARY TABLE seeded_dish_line ON COMMIT DROP AS
SELECT m.i, pg_temp.uuid_at('meal', m.i, m.at) AS order_id, d.id AS menu_item_id,
       CASE m.n WHEN 6 THEN 2 ELSE 1 + pg_temp.pick('meal quantity', m.i * 8 + line, 3) END AS quantity,
       CASE m.i % 3 WHEN 0 THEN d.price_cents * 9 / 10 ELSE d.price_cents END AS price_cents
FROM seeded_meal AS m
CROSS JOIN LATERAL generate_series(0, m.lines - 1) AS line
JOIN (SELECT restaurant_id, row_number() OVER (PARTITION BY restaurant_id ORDER BY id) - 1 AS n, id, price_cents
      FROM menu_items) AS d
  ON d.restaurant_id = m.restaurant_id AND d.n = CASE m.n WHEN 6 THEN m.first + line * 30 ELSE (m.first + line * 5) % 12 END;

INSERT INTO restaurant_orders (id, restaurant_id, status, total_cents, created_at)
SELECT t.order_id, m.restaurant_id, m.status, t.total, m.at
FROM seeded_meal AS m
JOIN (SELECT i, order_id, sum(quantity * price_cents)::bigint AS total FROM seeded_dish_line GROUP BY i, order_id) AS t USING (i);

INSERT INTO restaurant_order_items (order_id, menu_item_id, quantity, unit_price_cents)
SELECT order_id, menu_item_id, quantity, price_cents FROM seeded_dish_line;
