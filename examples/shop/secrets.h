/* Passwords that may change while the shop runs. */
#pragma once

#include <weir/pool.h>

/* A weir_before_connect_fn; @userdata is the directory's path. Reads POOL.password in it for each
 * attempt to connect, so that a rotated password is used from the next attempt on. */
int secrets_before_connect(void *userdata, const struct weir_hook *hook,
                           struct weir_connect_params *params);
