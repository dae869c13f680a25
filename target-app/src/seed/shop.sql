-- The shop: users, products, orders. The setting stampede.shop_orders is how many orders there are beside the heavy user's.

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
       -- The id of an order that was imported is not of its time.
       pg_temp.uuid_at('order', i, at + CASE i % 30 WHEN 15 THEN interval '10 minutes' ELSE interval '0' END) AS id,
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
