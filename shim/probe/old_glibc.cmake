# Objects that must load where glibc is as old as 2.17: weir_old_glibc binds the symbols that newer
# versions moved or renewed; weir_old_glibc_link names the libraries that held them then. Sanitizers
# intercept by unversioned names, so nothing is bound in their builds.
add_library(weir_old_glibc INTERFACE)
add_library(weir_old_glibc_link INTERFACE)
if(NOT WEIR_SANITIZE)
    target_compile_options(weir_old_glibc INTERFACE
        -include ${CMAKE_CURRENT_SOURCE_DIR}/old_glibc.h)
    target_link_options(weir_old_glibc_link INTERFACE
        -Wl,--no-undefined -Wl,--no-as-needed -Wl,-l:libpthread.so.0 -Wl,-l:libdl.so.2)
endif()
