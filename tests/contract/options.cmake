# The page's table of a pool's options says what options.def does.
add_test(NAME options_page COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/options_page.py
    ${CMAKE_SOURCE_DIR}/shim/pool/options.def ${CMAKE_SOURCE_DIR}/include/weir/pool.h
    ${CMAKE_SOURCE_DIR}/docs/CONFIGURATION.md)
set_tests_properties(options_page PROPERTIES LABELS "contract;A1" TIMEOUT 60)
