/* The one place where symbol versions are chosen. glibc 2.34 moved threads and dlsym into libc.so.6
 * under a new version; the old versions go on existing, so binding them makes one binary run on
 * everything from 2.17 on. Included before every file of a shared library (old_glibc.cmake); a test
 * reads the built objects' needed versions. */
#pragma once

#if defined(__x86_64__)
#define OLD_GLIBC(name) __asm__(".symver " #name "," #name "@GLIBC_2.2.5")
#elif defined(__aarch64__)
#define OLD_GLIBC(name) __asm__(".symver " #name "," #name "@GLIBC_2.17")
#endif

#ifdef OLD_GLIBC
OLD_GLIBC(dlsym);
OLD_GLIBC(dlvsym);
OLD_GLIBC(dladdr);
OLD_GLIBC(dlopen);
OLD_GLIBC(dlclose);
OLD_GLIBC(dlerror);
OLD_GLIBC(dlinfo);
OLD_GLIBC(pthread_attr_setstacksize);
OLD_GLIBC(pthread_create);
OLD_GLIBC(pthread_detach);
OLD_GLIBC(pthread_getspecific);
OLD_GLIBC(pthread_join);
OLD_GLIBC(pthread_key_create);
OLD_GLIBC(pthread_mutex_timedlock);
OLD_GLIBC(pthread_mutex_trylock);
OLD_GLIBC(pthread_once);
OLD_GLIBC(pthread_setspecific);
OLD_GLIBC(pthread_sigmask);
#endif
