/* A tenant's orders. */
#pragma once

struct http_request;

void order_place(struct http_request *request); /* POST …/orders {"customer", "items": […]} */
void order_list(struct http_request *request);  /* GET …/orders?limit=, newest first */
