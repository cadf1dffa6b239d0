/* The agent as a whole: alone knows which part follows which. Everything runs on one libuv loop;
 * the store and each destination have a thread of their own. */
#pragma once

#include "agent/config/config.h"

/* Whether @config can work, as far as can be known without running: prints what is wrong. Returns
 * the exit code. */
int pipeline_check(const struct config *config);

/* Runs until it is asked to stop (SIGTERM, SIGINT). Takes @config. Returns the exit code: 0 stopped
 * as asked, 1 failed, 2 the configuration cannot work. SIGHUP reads the configuration again from
 * @argv and the environment. */
int pipeline_run(struct config *config, int argc, char *const argv[]);
