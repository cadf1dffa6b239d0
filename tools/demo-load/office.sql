-- What the shop's back office does all day in psql: one report without an index, and a few mistakes.
SELECT p.tenant, p.title, sum(l.quantity) AS sold FROM shop.order_line l JOIN shop.product p ON (p.tenant, p.sku) = (l.tenant, l.sku) WHERE l.sku IN ('A-1', 'A-2', 'A-3') GROUP BY p.tenant, p.title ORDER BY sold DESC;
INSERT INTO shop.tenant VALUES ('acme');
UPDATE shop.product SET price = -1 WHERE tenant = 'acme' AND sku = 'A-7';
SELECT count(*) FROM shop.purchase WHERE placed > now() - interval '1 minute';
SELECT nothing FROM shop.product;
