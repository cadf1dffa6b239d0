/* `weir-agent install-preload DIR`: puts the preload where other containers can load it. */
#pragma once

/* Copies the preload that was installed with this program into @directory, under a temporary name
 * first, so that nobody ever loads half a library. Prints what it did. Returns the exit code. */
int install_preload(const char *directory);
