/* Faults on purpose, each a way in which services really go wrong, to see what Weir shows of it and
 * to drill those who are on call. Served with --drill only; all are POST /drill/NAME and take
 * ?tenant=. */
#pragma once

struct http_request;
struct shop;

void drill_leak(struct http_request *request); /* ?count=: connections never released */
void drill_heal(struct http_request *request); /* releases them */
void drill_idle_in_transaction(struct http_request *request); /* ?ms= */
void drill_slow(struct http_request *request);                /* a query without an index */
void drill_n_plus_one(struct http_request *request);          /* ?orders=: a query for each */
void drill_hog(struct http_request *request);  /* ?connections=&ms=: one tenant takes them all */
void drill_lock(struct http_request *request); /* ?sku=&ms=: a row that others want */

/* Lets go of what leaked; for the shop's end. */
void drill_forget(struct shop *shop);
