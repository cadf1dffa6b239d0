/* weir-agent: reads what services record, counts it exactly, and passes it on. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config/config.h"
#include "agent/install.h"
#include "agent/pipeline/pipeline.h"

enum { EXIT_WRONG = 2 };

int main(int argc, char **argv)
{
    struct config *CLEANUP(config_freep) config = NULL;
    char error[1024];
    int r = config_load(argc, argv, NULL, &config, error, sizeof(error));

    if (r != 0) {
        (void)fprintf(stderr, "weir-agent: %s\n", r == CONFIG_E_WRONG ? error : strerror(-r));
        return r == CONFIG_E_WRONG ? EXIT_WRONG : EXIT_FAILURE;
    }
    switch (config->command) {
    case CONFIG_RUN:
        return pipeline_run(STEAL(config), argc, argv);
    case CONFIG_CHECK:
        return pipeline_check(config);
    case CONFIG_HELP:
        config_print_help(stdout);
        return EXIT_SUCCESS;
    case CONFIG_VERSION:
        config_print_version(stdout);
        return EXIT_SUCCESS;
    case CONFIG_INSTALL_PRELOAD:
        return install_preload(config->install_directory);
    }
    return EXIT_FAILURE;
}
