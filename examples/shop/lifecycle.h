/* From the first request to the last: waits for signals, and leaves well. */
#pragma once

struct server;
struct shop;
struct workers;

/* Before any thread is made: the signals wait for lifecycle_run(). */
void lifecycle_block_signals(void);
/* Serves until SIGTERM or SIGINT; SIGHUP reads the manager's file again. Then leaves: says that it
 * is not ready, serves on for --drain-delay, takes no more connections, lets requests finish,
 * drains the pools, and stops server and workers, all within --drain-timeout and a second. Returns
 * how many holders and requests were cut. */
unsigned lifecycle_run(struct shop *shop, struct server *server, struct workers *workers);
