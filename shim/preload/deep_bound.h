/* Behind the dlopen() that stands before the loader's. */
#pragma once

typedef void *(*dlopen_fn)(const char *file, int mode);

/* The dlopen that the program would call without us. */
dlopen_fn deep_bound_original(void);
/* Opens @file, whose path says where it is, and looks what it brought. */
void *deep_bound_open(const char *file, int mode);
