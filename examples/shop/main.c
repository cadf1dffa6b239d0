/* A small shop of several tenants: the example of a service on libweir. README.md tells the rest.
 */
#include <stdio.h>
#include <string.h>

#include "arguments.h"
#include "journal.h"
#include "lifecycle.h"
#include "server.h"
#include "shop.h"
#include "workers.h"

enum { EXIT_CUT = 1, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static int wrong(const char *what, int r)
{
    (void)fprintf(stderr, "shop: %s: %s\n", what, strerror(-r));
    return EXIT_FAILED;
}

static int shop_run(struct shop *shop)
{
    const struct arguments *arguments = shop->arguments;
    struct workers workers;
    struct server server;
    char where[80];
    int r = workers_start(&workers, arguments->threads);

    if (r < 0)
        return wrong("--threads", r);
    r = server_start(&server, shop, &workers);
    if (r < 0) {
        workers_stop(&workers);
        (void)snprintf(where, sizeof(where), "--listen %s:%u", arguments->host, arguments->port);
        return wrong(where, r);
    }
    journal_note("started", "http://%s:%u", arguments->host, arguments->port);
    return lifecycle_run(shop, &server, &workers) ? EXIT_CUT : 0;
}

int main(int argc, char *argv[])
{
    struct arguments arguments;
    struct shop shop;
    int r = arguments_parse(&arguments, argc, argv);

    if (r)
        return r == ARGUMENTS_E_HELP ? 0 : EXIT_USAGE;
    lifecycle_block_signals();
    if (shop_open(&shop, &arguments))
        return EXIT_USAGE;
    r = shop_run(&shop);
    shop_close(&shop);
    return r;
}
