-- Restaurants of several tenants. The setting stampede.restaurant_orders is how many orders the first one has.

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
