/* A tenant's products. */
#pragma once

struct http_request;

void product_list(struct http_request *request);   /* GET …/products?q=&limit= */
void product_show(struct http_request *request);   /* GET …/products/{sku} */
void product_import(struct http_request *request); /* POST …/import: CSV sku,title,price,stock */
void product_export(struct http_request *request); /* GET …/export: the same */
