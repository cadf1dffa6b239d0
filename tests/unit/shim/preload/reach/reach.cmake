# Programs and libraries that come to libpq in different ways, and the test that runs them.
pkg_check_modules(REACH_LIBPQ REQUIRED IMPORTED_TARGET libpq)

add_library(reach_driver SHARED reach/driver.c)
target_link_libraries(reach_driver PRIVATE weir_flags PkgConfig::REACH_LIBPQ)
add_library(reach_interposer SHARED reach/interposer.c)
target_link_libraries(reach_interposer PRIVATE weir_flags)
set_target_properties(reach_driver reach_interposer PROPERTIES
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/reach)

weir_program(reach_linked SOURCES reach/linked.c LINK PkgConfig::REACH_LIBPQ)
weir_program(reach_contains SOURCES reach/contains.c)
weir_program(reach_host SOURCES reach/host.c)
set_target_properties(reach_host PROPERTIES BUILD_RPATH "$ORIGIN")
set_target_properties(reach_host reach_linked reach_contains PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/reach)

weir_test(test_preload_reach SOURCES test_reach.c LINK weir_fake_agent LABELS unit)
target_compile_definitions(test_preload_reach PRIVATE
    PRELOAD="$<TARGET_FILE:weir_preload>"
    REACH_DRIVER="$<TARGET_FILE:reach_driver>"
    REACH_INTERPOSER="$<TARGET_FILE:reach_interposer>"
    REACH_LINKED="$<TARGET_FILE:reach_linked>"
    REACH_CONTAINS="$<TARGET_FILE:reach_contains>"
    REACH_HOST="$<TARGET_FILE:reach_host>")
add_dependencies(test_preload_reach weir_preload reach_driver reach_interposer reach_linked
    reach_contains reach_host)
