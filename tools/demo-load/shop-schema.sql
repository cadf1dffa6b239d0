-- A small shop. order_line has no index on article_id: one report reads it from end to end.
CREATE TABLE customer (id int PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE);
CREATE TABLE article (id int PRIMARY KEY, title text NOT NULL, price numeric(10, 2) NOT NULL CHECK (price >= 0), stock int NOT NULL);
CREATE TABLE purchase (id bigserial PRIMARY KEY, customer_id int NOT NULL REFERENCES customer, placed timestamptz NOT NULL DEFAULT now());
CREATE TABLE order_line (purchase_id bigint NOT NULL REFERENCES purchase, article_id int NOT NULL, quantity int NOT NULL);
CREATE INDEX ON purchase (customer_id);
CREATE INDEX ON order_line (purchase_id);
INSERT INTO customer SELECT n, 'Customer ' || n, 'c' || n || '@shop.test' FROM generate_series(1, 2000) n;
INSERT INTO article SELECT n, 'Article ' || n, (n % 90) + 0.99, 1000000 FROM generate_series(1, 500) n;
INSERT INTO purchase (customer_id) SELECT 1 + n % 2000 FROM generate_series(1, 40000) n;
INSERT INTO order_line SELECT n, 1 + (n * 7919) % 500, 1 + n % 4 FROM generate_series(1, 40000) n, generate_series(1, 8);
ANALYZE;
