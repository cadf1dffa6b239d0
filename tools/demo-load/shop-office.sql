-- What the back office does all day: one report without an index, and a few mistakes.
SELECT a.title, sum(l.quantity) AS sold FROM order_line l JOIN article a ON a.id = l.article_id WHERE l.article_id IN (1, 2, 3) GROUP BY a.title ORDER BY sold DESC;
INSERT INTO customer VALUES (1, 'Twice', 'c1@shop.test');
UPDATE article SET price = -1 WHERE id = 7;
SELECT count(*) FROM purchase WHERE placed > now() - interval '1 minute';
SELECT nothing FROM customer;
