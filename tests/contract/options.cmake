# The page's table of a pool's options says what options.def does.
add_test(NAME options_page COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/options_page.py
    ${CMAKE_SOURCE_DIR}/shim/session/options.def ${CMAKE_SOURCE_DIR}/include/weir/pool.h
    ${CMAKE_SOURCE_DIR}/docs/CONFIGURATION.md)
set_tests_properties(options_page PROPERTIES LABELS "contract;A1" TIMEOUT 60)

add_test(NAME sqlstate_page COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/sqlstate_page.py
    ${CMAKE_SOURCE_DIR}/docs/POOL.md ${CMAKE_SOURCE_DIR}/shim/session/sqlstate.def)
set_tests_properties(sqlstate_page PROPERTIES LABELS "contract;A7" TIMEOUT 30)
